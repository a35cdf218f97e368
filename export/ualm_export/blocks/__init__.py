"""Building blocks of graphs. A block knows no checkpoint: it asks for its tensors by their role in it (see `names`)."""
