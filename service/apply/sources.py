"""Who has sent sound records lately: collected in memory, for the table `source_seen`."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..core.events import FailedRecord, FineCreated, Incoming, Rejection

ANY = "any"  # fines name no source
SENDERS_MAX = 1_000


class Sender(NamedTuple):
    """`topic` is the contract, without the prefix of this installation."""

    institution_id: str
    topic: str
    source: str


class Sources:
    """Senders since they were taken last. Beyond SENDERS_MAX the others count next time."""

    def __init__(self, contracts: Mapping[str, str]) -> None:
        """`contracts`: the contract of each full topic name."""
        self._contracts = contracts
        self._senders: set[Sender] = set()

    def note(self, records: Iterable[Incoming | Rejection | FailedRecord]) -> None:
        """Records that were taken in; those that could not be read do not count."""
        for record in records:
            if (
                not isinstance(record, Rejection | FailedRecord)
                and len(self._senders) < SENDERS_MAX
            ):
                self._senders.add(self._sender(record))

    def take(self) -> list[Sender]:
        """In order, for the locks."""
        senders, self._senders = sorted(self._senders), set()
        return senders

    def put_back(self, senders: Iterable[Sender]) -> None:
        """They could not be written."""
        self._senders.update(senders)

    def _sender(self, event: Incoming) -> Sender:
        source = ANY if isinstance(event, FineCreated) else event.key.source
        return Sender(event.key.institution_id, self._contracts[event.origin.topic], source)
