"""Judges that are not part of the model, and the statistics of their verdicts."""
