"""Building blocks of graphs. A block is independent of checkpoints: it asks for its tensors by role (see `names`)."""
