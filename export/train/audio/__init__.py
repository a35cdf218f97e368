"""Sound as the recipe handles it: 16 kHz mono float32, its log-mel spectra, and augmentation."""

SAMPLING_RATE = 16_000  # Hz
