"""Errors that come from a parked record which a commit sets free: its effects cannot be encoded.

Neither the records that set it free nor the others that they set free are the cause.
"""

from datetime import datetime

from ..core.events import ParkedKey
from ..core.parked import ParkedFailure, split_by_parked_record
from ..core.workspace import Changes
from ..database import ledger_write
from ..database.session import Connection, run_in_thread
from .outputs import Outputs


async def raise_for_parked(
    connection: Connection, changes: Changes, outputs: Outputs, recorded_at: datetime
) -> None:
    """To be called after `changes` could not be written.

    Raises ParkedFailure with all records that were set free and whose effects, alone, fail as well.
    Returns where what set them free fails without them: that has to be parked first.
    """
    size = len(changes.transactions) + len(changes.rejections)
    failures = await run_in_thread(
        connection, size, lambda: _failures(changes, outputs, recorded_at)
    )
    if failures:
        raise ParkedFailure(tuple(failures)) from next(iter(failures.values()))


def _failures(
    changes: Changes, outputs: Outputs, recorded_at: datetime
) -> dict[ParkedKey, Exception]:
    events, freed = split_by_parked_record(changes)
    # A fine that cannot be encoded fails in every change of it, too.
    if not freed or _failure(events, outputs, recorded_at) is not None:
        return {}
    failures = {key: _failure(effects, outputs, recorded_at) for key, effects in freed.items()}
    return {key: failure for key, failure in failures.items() if failure is not None}


def _failure(effects: Changes, outputs: Outputs, recorded_at: datetime) -> Exception | None:
    try:
        ledger_write.require_rows(effects, recorded_at)
        outputs.encoded(effects, recorded_at)
    except Exception as problem:  # noqa: BLE001 - the caller raises it, with the record's key
        return problem
    return None
