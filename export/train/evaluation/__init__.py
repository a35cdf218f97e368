"""Judges that are no part of the model, and the statistics of their verdicts."""
