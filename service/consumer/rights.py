"""Notes which right in Kafka the intake lacks, such as the right to read a topic."""

from ..kafka.causes import missing_right
from ..restore.findings import TopicUnreadable
from .contact import Contact


class MissingRight:
    """The Kafka right that the intake lacks and without which it cannot read, as `text`; None if it
    lacks none.
    """

    def __init__(self, contact: Contact) -> None:
        self._contact = contact
        self.text: str | None = None

    def note(self, problem: Exception) -> None:
        """Notes a failure of the intake, and whether a missing right is its cause. A failure
        because of a missing right also shows that a broker has answered, so the contact with the
        brokers is noted.
        """
        is_known = isinstance(problem, TopicUnreadable)
        self.text = str(problem) if is_known else missing_right(problem)
        if self.text is not None:
            self._contact.heard()
