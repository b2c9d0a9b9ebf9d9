"""What schedules and retries go by: which runs the database has of each profile."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from ..database.ledger_store import columns
from ..database.session import Connection, statements

SQL = statements("export")


@dataclass(frozen=True, slots=True)
class RunProgress:
    """An open run, and how many batches it has sealed."""

    run_id: str
    parts: int


@dataclass(frozen=True, slots=True)
class ProfileRuns:
    """Since when the profile is known here, its newest run's cutoff, where its open run is, and
    whether a person has paused it.

    No instant lies in the future, also where the database's clock was ahead for a while.
    """

    since: datetime
    last_cutoff: datetime | None
    open_run: RunProgress | None
    is_paused: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """Per institution and profile code; the clock is the database's."""

    runs: Mapping[tuple[str, str], ProfileRuns]
    clock: datetime


async def seen(connection: Connection, codes: Collection[tuple[str, str]]) -> Seen:
    """Takes note of profiles that are new here. `codes`: institution and profile."""
    await connection.execute(SQL["see_profiles"], *columns(codes, 2))
    await connection.execute(SQL["correct_profile_starts"])
    rows = await connection.fetch(SQL["profile_runs"])
    runs = {
        (row["institution_id"], row["profile"]): ProfileRuns(
            row["since"], row["last_cutoff"], _place_of(row), row["is_paused"]
        )
        for row in rows
    }
    clock: datetime = await connection.fetchval(SQL["clock"])
    return Seen(runs, clock)


def _place_of(row: asyncpg.Record) -> RunProgress | None:
    return (
        None if row["open_run_id"] is None else RunProgress(row["open_run_id"], row["open_parts"])
    )
