"""The error of everything that reads weights."""


class WeightsError(ValueError):
    """A weights file that cannot be used, with the reason."""
