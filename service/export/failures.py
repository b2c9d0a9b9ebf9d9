"""Says in a sentence why a run of a profile has failed, and finds the fines that make it fail."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import asyncpg

from ..apply.isolation import is_of_a_record, is_of_the_program, name_of
from ..core.ledger import Fine
from ..runtime.failures import IN_THE_WAY
from ..runtime.problems import OperatorError, result_or_exception
from .batch import InvalidBatch
from .manifest import TotalsDiffer
from .run import IdsUsedUp
from .xml.proof import NotReadBack
from .xml.stream import UnreadableDocument

# The bytes of a batch are not what its fines say: the batch is not sealed.
UNSOUND = (InvalidBatch, NotReadBack, UnreadableDocument, TotalsDiffer)
# If fine after fine fails, the cause is the program; the first fines are enough to find it.
NAMED_MAX = 20


@dataclass(frozen=True, slots=True)
class RunFailure:
    """The reason why the run of one profile has failed.

    `reason` is a clause for people without values of any record, `error` the name of the
    exception's class. If `is_temporary`, the run may succeed later without anybody's correction.
    """

    reason: str
    error: str
    is_temporary: bool = False


class RunFailed(Exception):
    """The run of one profile has failed; `failure` says why, and `__cause__` is the error."""

    def __init__(self, failure: RunFailure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


class FailingFines(OperatorError):
    """A run of the profile fails because of these fines.

    The text has the ids of the fines and the classes of their errors. The text is for an operator's
    terminal and not for the log.
    """

    def __init__(self, profile: str, failing: Sequence[tuple[Fine, Exception]]) -> None:
        named = ", ".join(
            f"{fine.facts.fine_id} ({type(problem).__name__})" for fine, problem in failing
        )
        first = "; these are the first ones" if len(failing) == NAMED_MAX else ""
        super().__init__(f"{profile}: a run would fail on the fines {named}{first}")


def failure_of(error: Exception) -> RunFailure | None:
    """Returns why one profile's run has failed; None if the error concerns all runs, such as an
    unreachable database.

    A lost connection counts as a failure of this run, like a time limit that was exceeded; the
    caller then asks whether the database still answers.
    """
    if isinstance(error, IdsUsedUp):
        reason = str(error)
    elif isinstance(error, UNSOUND):
        reason = (
            "the batch's bytes are not what its fines say, so it was not sealed; `export preview`"
            " names the fines"
        )
    elif is_of_the_program(error):
        reason = "the program fails on a fine of the batch; `export preview` names it"
    elif is_of_a_record(error):
        reason = "the database refuses what the batch would write"
    elif isinstance(error, IN_THE_WAY):
        return RunFailure(_temporary_reason(error), name_of(error), is_temporary=True)
    else:
        return None
    return RunFailure(reason, name_of(error))


def _temporary_reason(error: Exception) -> str:
    match error:
        case asyncpg.LockNotAvailableError():
            return "another session has locked the run or an account of the batch for too long"
        case asyncpg.exceptions.TransactionRollbackError():
            return "other sessions were in the way at every try"
        case asyncpg.exceptions.QueryCanceledError():
            return "a statement of the batch took longer than its time limit"
        case _:
            return "the session was ended, or did not answer in time, while the batch was made"


def failing_fines(
    fines: Sequence[Fine], attempt: Callable[[Sequence[Fine]], object]
) -> list[tuple[Fine, Exception]]:
    """Returns the first fines on which `attempt` fails if it is called with each alone, at most
    NAMED_MAX.

    Each fine is returned with the exception that it causes. The fines are found by halving the
    list, so a few failing ones among thousands need a few dozen calls.
    """
    failing: list[tuple[Fine, Exception]] = []
    parts = [fines] if fines else []
    while parts and len(failing) < NAMED_MAX:
        part = parts.pop()
        result = result_or_exception(partial(attempt, part))
        if not isinstance(result, Exception):
            continue
        if len(part) == 1:
            failing.append((part[0], result))
        else:
            middle = len(part) // 2
            parts += (part[middle:], part[:middle])
    return failing
