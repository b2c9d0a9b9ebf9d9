"""Finds the record on which a commit fails, so that only that record is parked as an internal error
and the others are applied.

A lost connection, or a database that is down, is never taken for the fault of a record. An
exception while a poll is applied that is no failure of the database or the network, even a bug of
the program, is attributed to one record of the poll. That record is found by dividing the poll in
halves. A poll that exceeds a time limit is divided in halves as well (poll.py).

The exception on which a commit fails may also come from a record that was parked earlier and is now
tried again, because a poll, the sweep, an export or an operator's command allows it. If the rules
fail on such a parked record, the record is known, because the rules try one parked record after the
other. If the effects of a parked record cannot be encoded, `raise_for_parked` finds the record; if
the database refuses to store the effects, committing.py finds it.
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
    """Ends the process because the program failed on many records in a row: the cause is then the
    program or its surroundings, and not the records.
    """


def is_of_a_record(error: Exception) -> bool:
    """Whether an error of a commit is attributed to one of its records, and not to the database
    server or the network.
    """
    return isinstance(error, BAD_CONTENT) or not isinstance(error, SURROUNDINGS)


def is_of_the_program(error: Exception) -> bool:
    """Whether the error is an exception of the program on a record, and not the database's refusal
    to store a record.
    """
    return is_of_a_record(error) and not isinstance(error, BAD_CONTENT)


def is_too_much(error: Exception) -> bool:
    """Whether a poll has exceeded a time limit, so that the next one should have fewer records;
    False for a wait for another session's lock, which does not depend on the size of the poll.
    """
    return isinstance(error, TIME_LIMITS) and not isinstance(error, asyncpg.LockNotAvailableError)


def name_of(error: BaseException) -> str:
    """Returns the name of the error's class and of the violated constraint; the error's message is
    left out, because it may quote personal data.
    """
    constraint = getattr(error, "constraint_name", None)
    return type(error).__name__ + (f" {constraint}" if constraint else "")


def alarm(records: Iterable[FailedRecord]) -> None:
    """Writes an error to the log for each record that was parked as an internal error."""
    for record in records:
        log.error("record_parked_internal_error", **place_of(record), error=record.error)


def place_of(record: Record) -> dict[str, str | int]:
    """Returns the topic, partition and offset of the record, as fields of a log line."""
    topic, partition, offset, *_ = record.origin
    return {"topic": topic, "partition": partition, "offset": offset}


def failed(record: Incoming | Rejection, error: Exception) -> FailedRecord:
    """Returns the FailedRecord with which a record is parked after the program or the database has
    failed on it with this error.
    """
    named = record.institution_id if isinstance(record, Rejection) else record.key.institution_id
    fine_id = record.fine_id if isinstance(record, FineChanged) else None
    return FailedRecord(record.origin, named or UNKNOWN, name_of(error), fine_id)


def unread(contract: str, origin: Origin, error: Exception) -> FailedRecord:
    """Returns the FailedRecord with which a record is parked after the program has failed with this
    error while it decoded the record.
    """
    log.warning(Event.POLL_FAILED, records=1, problem=describe(error))
    institution_id = institution_in(origin.value) or UNKNOWN
    fine_id = changed_fine_in(contract, origin.value)
    return FailedRecord(origin, institution_id, name_of(error), fine_id)


@dataclass(slots=True)
class InternalErrors:
    """Counts how many records or commits fail one after the other with an internal error, so that
    the process stops if all of them fail.

    `in_a_row` counts records on which the program failed, since the last record that was decided
    and not rejected. `commits_in_a_row` counts commits that had to mark parked records as failed
    and released none from parking. Commits are counted here and not records, because one commit may
    mark many parked records as failed although others are sound.
    """

    in_a_row_max: int
    in_a_row: int = 0
    commits_in_a_row: int = 0

    def after(self, records: Iterable[Record]) -> int:
        """Returns what `in_a_row` will be when these records are counted too; does not change it.
        Raises TooManyInternalErrors.
        """
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
        """Raises TooManyInternalErrors if as many commits as allowed in a row have marked parked
        records as failed.
        """
        if self.commits_in_a_row >= self.in_a_row_max:
            raise self.too_many(error)

    def commit_ended(self, *, sets_apart: bool, frees: bool) -> None:
        """Updates `commits_in_a_row`: adds one if the commit marked parked records as failed
        (`sets_apart`) and released none from parking; sets it to 0 if the commit released any
        (`frees`).
        """
        if frees:
            self.commits_in_a_row = 0
        elif sets_apart:
            self.commits_in_a_row += 1

    def too_many(self, error: str) -> TooManyInternalErrors:
        """Returns the exception that ends the process after too many failures; `error` is the name
        of the last error, for its text.
        """
        return TooManyInternalErrors(
            f"more than {self.in_a_row_max} records in a row failed with an internal error, the"
            f" last one with {error}: the cause is not a record. Nothing was lost. Go back to the"
            " release before, or mend the cause; see `bursar-bridge parked list`"
        )


async def raise_for_parked(
    connection: Connection, changes: Changes, outputs: Outputs, recorded_at: datetime
) -> None:
    """Raises ParkedFailure with those parked records whose effects the program cannot encode for
    the database or for Kafka.

    Called after the program has failed to write `changes`. Looks only at the parked records that
    are applied or rejected as part of `changes`. Returns without an error if the effects of the new
    records cannot be encoded either: then the caller first has to find the new record that fails.
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
