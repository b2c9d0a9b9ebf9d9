"""Finds the record on which a commit fails, so that only that record is set apart and the others
are applied.

A failure of the database or the network is of no record. Whatever else is raised while a poll is
decided, mistakes of the program included, comes from one of its records, which is found by dividing
the poll in halves. A poll that exceeds a time limit is divided as well (poll.py).

Or it comes from a record that was parked before and that the poll, a sweep, an export or a command
sets free. The fold knows which record it tries. If the effects of a record cannot be encoded,
`raise_for_parked` finds it; if the database does not store them, committing.py does.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import asyncpg
import structlog

from ..core.events import (
    FailedRecord,
    FineChanged,
    Incoming,
    ParkedKey,
    Rejection,
)
from ..core.ledger import Origin
from ..core.parked import ParkedFailure, split_by_parked_record
from ..core.workspace import Changes
from ..database import ledger_write
from ..database.outbox import Outputs
from ..database.session import Connection, run_in_thread
from ..messages.unparsed import changed_fine_in, institution_in
from ..runtime.failures import BAD_CONTENT, SURROUNDINGS, TIME_LIMITS
from ..runtime.problems import OperatorError, describe, result_or_exception
from ..runtime.telemetry import Event

log = structlog.get_logger()

UNKNOWN = "unknown"  # the institution of a record that could not be read

Record = Incoming | Rejection | FailedRecord


class TooManyInternalErrors(OperatorError):
    """Many records in a row have failed, so the cause is the program or its surroundings."""


def is_of_a_record(error: Exception) -> bool:
    """Whether one of the records that were decided together is the cause."""
    return isinstance(error, BAD_CONTENT) or not isinstance(error, SURROUNDINGS)


def is_of_the_program(error: Exception) -> bool:
    """Whether the program failed on a record before the database was asked."""
    return is_of_a_record(error) and not isinstance(error, BAD_CONTENT)


def is_too_much(error: Exception) -> bool:
    """Whether the next poll should be smaller; for a lock of a rival that would not help."""
    return isinstance(error, TIME_LIMITS) and not isinstance(error, asyncpg.LockNotAvailableError)


def name_of(error: BaseException) -> str:
    """Returns the class of the error and its constraint; its message may quote a value."""
    constraint = getattr(error, "constraint_name", None)
    return type(error).__name__ + (f" {constraint}" if constraint else "")


def alarm(records: Iterable[FailedRecord]) -> None:
    """Writes a log line for each record that was parked as an internal error."""
    for record in records:
        log.error("record_parked_internal_error", **place_of(record), error=record.error)


def place_of(record: Record) -> dict[str, str | int]:
    """Returns where the record stands in Kafka, as fields of a log line."""
    topic, partition, offset, *_ = record.origin
    return {"topic": topic, "partition": partition, "offset": offset}


def failed(record: Incoming | Rejection, error: Exception) -> FailedRecord:
    """Returns the record as one on which the program failed with this error."""
    named = record.institution_id if isinstance(record, Rejection) else record.key.institution_id
    fine_id = record.fine_id if isinstance(record, FineChanged) else None
    return FailedRecord(record.origin, named or UNKNOWN, name_of(error), fine_id)


def unread(contract: str, origin: Origin, error: Exception) -> FailedRecord:
    """Returns a record as one that the program fails to read with this error."""
    log.warning(Event.POLL_FAILED, records=1, problem=describe(error))
    institution_id = institution_in(origin.value) or UNKNOWN
    fine_id = changed_fine_in(contract, origin.value)
    return FailedRecord(origin, institution_id, name_of(error), fine_id)


@dataclass(slots=True)
class InternalErrors:
    """Counts failures in a row, so that the process stops if everything fails.

    `in_a_row` counts records; a rejected record neither adds to a row nor ends it.
    `commits_in_a_row` counts commits that had to set parked records apart and set none free:
    however many records one commit sets apart, others may be sound.
    """

    in_a_row_max: int
    in_a_row: int = 0
    commits_in_a_row: int = 0

    def after(self, records: Iterable[Record]) -> int:
        """Returns `in_a_row` as it is after these records. Raises TooManyInternalErrors."""
        count = self.in_a_row
        for record in records:
            if isinstance(record, FailedRecord):
                count += 1
                if count > self.in_a_row_max:
                    raise self.too_many(record.error)
            elif not isinstance(record, Rejection):
                count = 0
        return count

    def require_room(self, error: str) -> None:
        """Raises TooManyInternalErrors if no further commit may set parked records apart."""
        if self.commits_in_a_row >= self.in_a_row_max:
            raise self.too_many(error)

    def commit_ended(self, *, sets_apart: bool, frees: bool) -> None:
        """Adds one to `commits_in_a_row` if the commit set parked records apart and none free; sets
        it to 0 if the commit set any free.
        """
        if frees:
            self.commits_in_a_row = 0
        elif sets_apart:
            self.commits_in_a_row += 1

    def too_many(self, error: str) -> TooManyInternalErrors:
        """Returns the exception to raise; `error` is the name of the last error."""
        return TooManyInternalErrors(
            f"more than {self.in_a_row_max} records in a row failed with an internal error, the"
            f" last one with {error}: the cause is not a record. Nothing was lost. Go back to the"
            " release before, or mend the cause; see `bursar-bridge parked list`"
        )


async def raise_for_parked(
    connection: Connection, changes: Changes, outputs: Outputs, recorded_at: datetime
) -> None:
    """Raises ParkedFailure with the records whose effects cannot be encoded; the write has failed.

    These are the parked records that the commit sets free and whose own effects fail as well. If
    the effects of the events that set them free fail without them, returns: then the record of
    such an event has to be set apart first.
    """
    size = len(changes.transactions) + len(changes.rejections)
    failures = await run_in_thread(
        connection, size, lambda: _parked_failures(changes, outputs, recorded_at)
    )
    if failures:
        raise ParkedFailure(tuple(failures)) from next(iter(failures.values()))


def _parked_failures(
    changes: Changes, outputs: Outputs, recorded_at: datetime
) -> dict[ParkedKey, Exception]:
    events, freed = split_by_parked_record(changes)
    # A fine that cannot be encoded fails in every change of it, too.
    if not freed or _failure(events, outputs, recorded_at) is not None:
        return {}
    failures = {key: _failure(effects, outputs, recorded_at) for key, effects in freed.items()}
    return {key: failure for key, failure in failures.items() if failure is not None}


def _failure(effects: Changes, outputs: Outputs, recorded_at: datetime) -> Exception | None:
    def encode() -> None:
        ledger_write.require_rows(effects, recorded_at)
        outputs.encoded(effects, recorded_at)

    result = result_or_exception(encode)
    return result if isinstance(result, Exception) else None
