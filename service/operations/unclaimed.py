"""Open fines that no profile takes: found by what decides whose a fine is, not one by one."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from ..core.ledger import Fine
from ..database.ledger_read import LedgerReader
from ..database.session import Connection, Pool, statements
from ..export.profiles.profile import FineGroup, Profiles
from ..export.selection import Exclusion
from ..runtime.telemetry import Metrics
from ..runtime.waiting import unless_set, wait_any
from .turn import Turn

SQL = statements("unclaimed")
TASK = "no_profile"
INTERVAL_SECONDS = 300
LOOK_MS = 60_000


@dataclass(frozen=True, slots=True)
class OpenGroup:
    """How many open fines a group has; `held` of them are held back by themselves: in dispute,
    not exportable or refused.
    """

    group: FineGroup
    fines: int
    held: int


async def institutions(connection: Connection) -> list[str]:
    """Those with open fines, configured or not."""
    rows = await connection.fetch(SQL["institutions_with_open_fines"])
    return [row["institution_id"] for row in rows]


async def open_groups(connection: Connection, institution_id: str) -> list[OpenGroup]:
    """The largest first."""
    rows = await connection.fetch(SQL["open_groups"], institution_id)
    found = [
        OpenGroup(
            FineGroup(
                institution_id,
                row["type"],
                row["currency"],
                row["library_code"],
                row["user_group"],
            ),
            row["fines"],
            row["held"],
        )
        for row in rows
    ]
    return sorted(found, key=lambda open_group: (-open_group.fines, repr(open_group.group)))


async def unclaimed(
    connection: Connection, profiles: Profiles, institution_id: str | None = None
) -> list[OpenGroup]:
    """The groups that no profile takes, of one institution or of all."""
    wanted = [institution_id] if institution_id else await institutions(connection)
    return [
        open_group
        for own in wanted
        for open_group in await open_groups(connection, own)
        if not profiles.including(open_group.group)
    ]


async def fines_of(
    connection: Connection,
    store: LedgerReader,
    groups: Sequence[FineGroup],
    patron_id: str | None,
    limit: int,
) -> list[tuple[Fine, FineGroup]]:
    """The first fines of groups of one institution, with their group."""
    columns = [
        [group.type for group in groups],
        [group.currency for group in groups],
        [group.library_code or "" for group in groups],
        [group.user_group for group in groups],
    ]
    owner = groups[0].institution_id
    rows = await connection.fetch(SQL["fines_of_groups"], owner, *columns, patron_id, limit)
    fines = await store.fines_of(connection, rows)
    return [
        (fine, group_of(fine, row["user_group"])) for fine, row in zip(fines, rows, strict=True)
    ]


def group_of(fine: Fine, user_group: str) -> FineGroup:
    facts = fine.facts
    owner = facts.owner.library_code if facts.owner else None
    return FineGroup(facts.institution_id, facts.type, facts.currency, owner, user_group)


def in_words(profiles: Profiles, institution_id: str) -> str:
    if not profiles.of_institution(institution_id):
        return "the institution has no profile"
    return "no profile takes its type, currency, owner and user group together"


class CountUnclaimed:
    """One instance counts for all of them, once in an interval; every instance shows the count."""

    def __init__(
        self,
        pool: Pool,
        metrics: Metrics,
        profiles: Profiles,
        interval_seconds: int = INTERVAL_SECONDS,
    ) -> None:
        self._metrics = metrics
        self._profiles = profiles
        self._turn = Turn(pool, TASK, interval_seconds)

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await unless_set(self.run_once(), stop)
            await wait_any((stop,), LOOK_MS)

    async def run_once(self) -> int:
        """The latest count of any instance: fines that are not held back by themselves."""
        await self._turn.taken(self._count, lambda fines: fines)
        fines, _ = await self._turn.last()
        self._metrics.held_now.labels(Exclusion.NO_PROFILE).set(fines)
        return fines

    async def _count(self, connection: Connection) -> int:
        groups = await unclaimed(connection, self._profiles)
        return sum(open_group.fines - open_group.held for open_group in groups)
