"""Which profiles are paused: rows of `export_pause`."""

from dataclasses import dataclass
from datetime import datetime

from ..database.session import Connection, statements
from .profiles.profile import Profile

SQL = statements("pause")


@dataclass(frozen=True, slots=True)
class Pause:
    """A person has stopped the runs of a profile, and why."""

    institution_id: str
    profile: str
    reason: str
    operator: str
    paused_at: datetime


async def is_paused(connection: Connection, profile: Profile) -> bool:
    paused: bool = await connection.fetchval(SQL["is_paused"], profile.institution_id, profile.code)
    return paused


async def pauses(connection: Connection) -> dict[tuple[str, str], Pause]:
    """All pauses, by institution and profile."""
    rows = await connection.fetch(SQL["pauses"])
    return {(row["institution_id"], row["profile"]): Pause(*row.values()) for row in rows}
