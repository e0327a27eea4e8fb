"""The exceptions that are this package's own.

Wrong arguments raise ``ValueError`` or ``TypeError``, as everywhere in Python; the classes
below exist where a caller may want to react to one cause and no other.
"""


class DataError(ValueError):
    """An interaction file or matrix that cannot be used; the message names the place."""


class ModelError(ValueError):
    """A saved model, index or checkpoint that is damaged, foreign or of another version."""


class DeviceUnavailable(RuntimeError):
    """The device asked for cannot be used; the message is the reason."""


class TrainingDiverged(RuntimeError):
    """Training met a value that is not finite and stopped; the last finite tables are kept."""
