"""Why the service stops until a person has looked: going on would lose or double something."""

from service.problems import OperatorError


class OlderDatabase(OperatorError):
    """Kafka knows more than the database: a backup was restored under it."""


class OtherHistory(OperatorError):
    """An input topic is not the one that was read before: made anew, or cut."""


class RecordsGone(OperatorError):
    """Records were deleted from an input topic before they were read."""
