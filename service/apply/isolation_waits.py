"""Partitions whose next record has to wait: the others go on."""

from collections.abc import Iterable, Mapping

import asyncpg
import structlog

from ..core.events import Failed, Incoming, Refused
from ..runtime.telemetry import Event
from .isolation import name_of, place_of
from .poll import Held, Place

log = structlog.get_logger()

Records = tuple[Incoming | Refused | Failed, ...]

# So many single records are looked for in one poll. A database in trouble makes all of them late.
PARTITIONS_HELD_MAX = 3
PARTITIONS_LOCKED_MAX = 8


class Holding:
    """What one poll has to leave in its partitions."""

    def __init__(self) -> None:
        self._held: dict[Place, Held] = {}
        self._locked = 0

    @property
    def held(self) -> Mapping[Place, Held]:
        return self._held

    def hold(self, record: Incoming | Refused | Failed, error: Exception, ms: int) -> None:
        """`ms`: how long its last try took. Raises `error` where it is too much for many records.

        Locks are never too much: a rival may hold what each partition's next record needs.
        """
        self._held[record.origin[:2]] = Held(error, ms)
        is_lock = isinstance(error, asyncpg.LockNotAvailableError)
        tell = log.warning if is_lock else log.error
        tell(Event.PARTITION_WAITS, **place_of(record), error=name_of(error))
        self._locked += is_lock
        if not is_lock and len(self._held) - self._locked > PARTITIONS_HELD_MAX:
            raise error

    def hold_rest(self, records: Iterable[Incoming | Refused | Failed]) -> None:
        """Once many records wait for locks, the rest is not tried record by record."""
        if self._locked >= PARTITIONS_LOCKED_MAX:
            error = asyncpg.LockNotAvailableError("many accounts are locked")
            for record in records:
                self._held.setdefault(record.origin[:2], Held(error, 0))

    def without_held(self, records: Records) -> Records:
        """Those of other partitions."""
        if not self._held:
            return records
        return tuple(record for record in records if record.origin[:2] not in self._held)
