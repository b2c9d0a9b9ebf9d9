"""A batch as a run would make it, encoding included, with nothing written; and which fines fail."""

from collections.abc import Sequence

from ..apply.isolation import is_of_the_program
from ..apply.isolation_parked import raise_for_parked
from ..apply.outputs import Outputs
from ..core.ledger import Fine
from ..core.parked import ParkedFailure
from ..core.workspace import View
from ..database import ledger_write
from ..database.ledger_store import LockedAccounts
from ..database.session import Connection, run_in_thread
from .encode import encode_batch, encode_manifest
from .failures import UNSOUND, FailingFines, failing_fines
from .sealing import Built, Part, built_of, refs_of

# What is encoded is thrown away: where it would go does not matter.
OUTPUTS = Outputs("balance-changed", "loan-closed", "rejected", "/preview")


async def rehearse(connection: Connection, part: Part, view: View, locked: LockedAccounts) -> Built:
    """The batch, after all that a run makes of it before it writes. The document is the run's.

    Raises FailingFines; ParkedFailure for parked records on which the program fails; and what fails
    for another reason.
    """
    refs = await refs_of(connection, part)

    def made(due: Sequence[Fine]) -> Built:
        return built_of(part.with_due(due), view, locked, refs)

    def encoded(due: Sequence[Fine]) -> None:
        _encode(made(due), locked)

    count = len(part.due)
    try:
        built = await run_in_thread(connection, count, lambda: made(part.due))
        try:
            await run_in_thread(connection, count, lambda: _encode(built, locked))
        except Exception:
            await raise_for_parked(connection, built.changes, OUTPUTS, locked.recorded_at)
            raise
    except (ParkedFailure, FailingFines):
        raise
    except Exception as problem:
        if not (isinstance(problem, UNSOUND) or is_of_the_program(problem)):
            raise
        failing = await run_in_thread(connection, count, lambda: failing_fines(part.due, encoded))
        if not failing:
            raise
        raise FailingFines(part.profile.code, failing) from problem
    return built


def _encode(built: Built, locked: LockedAccounts) -> None:
    """The records for Kafka and the rows of the ledger, as the run makes them."""
    encode_batch(built.manifest, built.document, OUTPUTS.ce_source)
    encode_manifest(built.manifest, OUTPUTS.ce_source)
    ledger_write.transaction_rows(built.changes, locked.recorded_at)
    OUTPUTS.encoded(built.changes, locked.recorded_at)
