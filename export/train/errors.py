"""The one exception that this recipe raises on purpose."""


class TrainingError(Exception):
    """Something the user can put right: the message says what and where."""
