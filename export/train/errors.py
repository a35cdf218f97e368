"""The exception that the recipe raises on purpose."""


class TrainingError(Exception):
    """An error that the user can correct; the message names the cause and the place."""
