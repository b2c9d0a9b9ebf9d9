"""Why the service stops until a person has looked: going on would lose or double something."""

from ..runtime.problems import OperatorError


class OlderDatabase(OperatorError):
    """Kafka, or this process, knows more than the database: an older one took its place.

    Nothing may be written on top of it. Every process and command ends with the same exit status.
    """


class OtherHistory(OperatorError):
    """An input topic is not the one that was read before: made anew, or cut."""


class RecordsGone(OperatorError):
    """Records were deleted from an input topic before they were read."""
