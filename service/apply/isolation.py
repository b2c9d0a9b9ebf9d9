"""Errors that are one record's own: it is set apart with an alarm, and everything else goes on.

An error of the database's or the network's says nothing about a record. Whatever else is raised
while a poll is decided, the program's own mistakes among it, comes from one of the poll's records:
it is looked for by halving. So is a poll that is too much for a time limit (isolation_waits.py).

Or it comes from a record that was parked before and that the poll, a sweep, an export or a command
has set free: the fold knows which one it tries, isolation_parked.py finds the one whose effects
cannot be encoded, and committing.py the one whose effects the database refuses.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import asyncpg
import structlog

from ..core.events import FailedRecord, FineChanged, Incoming, Rejection
from ..runtime.failures import BAD_CONTENT, IN_THE_WAY, SURROUNDINGS, TIME_LIMITS
from ..runtime.problems import OperatorError

log = structlog.get_logger()

UNKNOWN = "unknown"  # the institution of a record that could not be read


class TooManyInternalErrors(OperatorError):
    """Record after record fails: the cause is the program or its surroundings, not a record."""


def is_of_a_record(error: Exception) -> bool:
    """Whether one of the records that were decided together is the cause."""
    return isinstance(error, BAD_CONTENT) or not isinstance(error, SURROUNDINGS)


def is_of_the_program(error: Exception) -> bool:
    """Whether it was raised without the database having been asked."""
    return is_of_a_record(error) and not isinstance(error, BAD_CONTENT)


def may_be_a_time_limit(error: Exception) -> bool:
    """Whether fewer records may go through, if the database answers at all."""
    return isinstance(error, TIME_LIMITS)


def is_in_the_way(error: Exception) -> bool:
    """Whether the same may go through later: a time limit, or a rival after all tries."""
    return isinstance(error, IN_THE_WAY)


def is_too_much(error: Exception) -> bool:
    """Whether the next poll should be smaller: a rival's lock is not shorter for fewer records."""
    return may_be_a_time_limit(error) and not isinstance(error, asyncpg.LockNotAvailableError)


def name_of(error: BaseException) -> str:
    """The error's sort and its constraint, never its message: that may quote a value."""
    constraint = getattr(error, "constraint_name", None)
    return type(error).__name__ + (f" {constraint}" if constraint else "")


def alarm(records: Iterable[Incoming | Rejection | FailedRecord]) -> None:
    """One line for each record that was parked as an internal error."""
    for record in records:
        if isinstance(record, FailedRecord):
            log.error("record_parked_internal_error", **place_of(record), error=record.error)


def place_of(record: Incoming | Rejection | FailedRecord) -> dict[str, str | int]:
    topic, partition, offset, *_ = record.origin
    return {"topic": topic, "partition": partition, "offset": offset}


def failed(record: Incoming | Rejection, error: Exception) -> FailedRecord:
    """The record as one that is parked with its bytes."""
    named = record.institution_id if isinstance(record, Rejection) else record.key.institution_id
    fine_id = record.fine_id if isinstance(record, FineChanged) else None
    return FailedRecord(record.origin, named or UNKNOWN, name_of(error), fine_id)


@dataclass(slots=True)
class InternalErrors:
    """How many records in a row failed. A record that is rejected neither adds nor ends a row.

    `commits_in_a_row`: commits that had to set parked records apart and set none free. However many
    records a single commit sets apart, that is no sign that all of them fail.
    """

    in_a_row_max: int
    in_a_row: int = 0
    commits_in_a_row: int = 0

    def after(self, records: Iterable[Incoming | Rejection | FailedRecord]) -> int:
        """How many in a row it would be behind these. Raises TooManyInternalErrors."""
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
        """For a commit that sets parked records apart. Raises TooManyInternalErrors."""
        if self.commits_in_a_row >= self.in_a_row_max:
            raise self.too_many(error)

    def commit_ended(self, *, sets_apart: bool, frees: bool) -> None:
        """A commit went through: it set parked records apart, and others free."""
        if frees:
            self.commits_in_a_row = 0
        elif sets_apart:
            self.commits_in_a_row += 1

    def too_many(self, error: str) -> TooManyInternalErrors:
        return TooManyInternalErrors(
            f"more than {self.in_a_row_max} records in a row failed with an internal error, the"
            f" last one with {error}: the cause is not a record. Nothing was lost. Go back to the"
            " release before, or mend the cause; see `bursar-bridge parked list`"
        )
