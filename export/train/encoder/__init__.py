"""The audio tower and its training."""
