"""Training recipe of the small default model (PyTorch is allowed here and nowhere else)."""
