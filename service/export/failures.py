"""Why a run cannot go on, in words for an operator; what is no matter of one run is not here."""

from dataclasses import dataclass

import asyncpg

from ..apply.isolation import is_in_the_way, is_of_a_record, is_of_the_program, name_of
from .batch import InvalidBatch
from .manifest import TotalsDiffer
from .xml.proof import NotReadBack
from .xml.stream import RefusedDocument

# The bytes of a batch are not what its fines say: nothing of it leaves the house.
UNSOUND = (InvalidBatch, NotReadBack, RefusedDocument, TotalsDiffer)


@dataclass(frozen=True, slots=True)
class RunFailure:
    """`reason` is a clause without a value, `error` the sort of the exception.

    `is_temporary`: nobody has to mend anything.
    """

    reason: str
    error: str
    is_temporary: bool = False


def failure_of(error: Exception) -> RunFailure | None:
    """None for what concerns all profiles, such as a database that is away.

    A lost connection counts as a time limit: the caller asks whether the database answers at all.
    """
    reason = _lasting(error)
    if reason is not None:
        return RunFailure(reason, name_of(error))
    if is_in_the_way(error):
        return RunFailure(_in_the_way(error), name_of(error), is_temporary=True)
    return None


def _lasting(error: Exception) -> str | None:
    if isinstance(error, UNSOUND):
        return (
            "the batch's bytes are not what its fines say, so it was not sealed; `export preview`"
            " names the fines"
        )
    if is_of_the_program(error):
        return "the program fails on a fine of the batch; `export preview` names it"
    if is_of_a_record(error):
        return "the database refuses what the batch would write"
    return None


def _in_the_way(error: Exception) -> str:
    match error:
        case asyncpg.LockNotAvailableError():
            return "another session has locked the run or an account of the batch for too long"
        case asyncpg.exceptions.TransactionRollbackError():
            return "other sessions were in the way at every try"
        case asyncpg.exceptions.QueryCanceledError():
            return "a statement of the batch took longer than its time limit"
        case _:
            return "the session was ended, or did not answer in time, while the batch was made"
