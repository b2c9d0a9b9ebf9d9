"""Errors that come from a parked record which a commit sets free: its effects cannot be encoded.

Neither the records that set it free nor the others that they set free are the cause.
"""

from datetime import datetime

from service.core.books import Changes, ParkedFailure, ParkedKey
from service.core.set_free import set_free
from service.database import ledger_write
from service.database.aside import aside
from service.database.pool import Connection
from service.outputs import Outputs


async def raise_for_parked(
    connection: Connection, changes: Changes, outputs: Outputs, recorded_at: datetime
) -> None:
    """To be called after `changes` could not be written.

    Raises ParkedFailure with all records that were set free and whose effects, alone, fail as well.
    """
    failures = await aside(
        connection, len(changes.parked_removed), lambda: _failures(changes, outputs, recorded_at)
    )
    if failures:
        raise ParkedFailure(tuple(failures)) from next(iter(failures.values()))


def _failures(
    changes: Changes, outputs: Outputs, recorded_at: datetime
) -> dict[ParkedKey, Exception]:
    failures: dict[ParkedKey, Exception] = {}
    for key, effects in set_free(changes).items():
        try:
            ledger_write.transaction_rows(effects, recorded_at)
            ledger_write.rejected_rows(effects.refused)
            outputs.encoded(effects, recorded_at)
        except Exception as problem:  # noqa: BLE001 - the caller raises it, with the record's key
            failures[key] = problem
    return failures
