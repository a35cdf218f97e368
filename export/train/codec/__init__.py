"""The spectral codec: closed-form fit, training of its decoder, joint training."""
