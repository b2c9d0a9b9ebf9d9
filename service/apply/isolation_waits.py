"""Partitions whose next record has to wait: the others go on."""

from collections.abc import Iterable, Mapping

import asyncpg
import structlog

from ..core.events import FailedRecord, Incoming, Rejection
from ..runtime.telemetry import Event
from .isolation import name_of, place_of
from .poll import PartitionHold, Place

log = structlog.get_logger()

Records = tuple[Incoming | Rejection | FailedRecord, ...]

# So many single records are looked for in one poll; the next poll is without their partitions.
PARTITIONS_LATE_MAX = 3
PARTITIONS_LOCKED_MAX = 8


class HeldPartitions:
    """What one poll has to leave in its partitions."""

    def __init__(self) -> None:
        self._held: dict[Place, PartitionHold] = {}
        self._locked = 0
        self._late = 0

    @property
    def held(self) -> Mapping[Place, PartitionHold]:
        return self._held

    def hold(self, record: Incoming | Rejection | FailedRecord, error: Exception, ms: int) -> None:
        """The record has to wait. `ms`: how long its last try took."""
        self._held[record.origin[:2]] = PartitionHold(error, ms)
        is_lock = isinstance(error, asyncpg.LockNotAvailableError)
        tell = log.warning if is_lock else log.error
        tell(Event.PARTITION_WAITS, **place_of(record), error=name_of(error))
        self._locked += is_lock
        self._late += not is_lock
        self._last = error

    def leave_rest(self, records: Iterable[Incoming | Rejection | FailedRecord]) -> None:
        """Once many records have to wait, the rest of the poll is left for the next one.

        That one is without the partitions that are held, so that the others go on at once.
        """
        if self._locked >= PARTITIONS_LOCKED_MAX or self._late >= PARTITIONS_LATE_MAX:
            for record in records:
                self._held.setdefault(
                    record.origin[:2], PartitionHold(self._last, 0, is_tried=False)
                )

    def without_held(self, records: Records) -> Records:
        """Those of other partitions."""
        if not self._held:
            return records
        return tuple(record for record in records if record.origin[:2] not in self._held)
