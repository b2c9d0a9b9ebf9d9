"""Finds open fines that no export profile covers, by groups: fines with the same type, currency,
owner and user group belong to the same profiles.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from ..core.ledger import Fine
from ..database.ledger_read import LedgerReader
from ..database.session import Connection, Pool, statements
from ..export.profiles.profile import FineGroup, Profiles
from ..export.selection import Exclusion
from ..runtime.telemetry import Metrics
from ..runtime.waiting import repeat
from .turn import Turn

SQL = statements("no_profile")
TASK = "no_profile"
INTERVAL_SECONDS = 300
TURN_CHECK_MS = 60_000


@dataclass(frozen=True, slots=True)
class OpenGroup:
    """How many open fines a group has.

    `held` is the number of the group's open fines that are in dispute, not exportable or refused by
    the bursar.
    """

    group: FineGroup
    fines: int
    held: int


async def institutions(connection: Connection) -> list[str]:
    """Returns the institutions with open fines, even those that the profiles' file does not
    name.
    """
    rows = await connection.fetch(SQL["institutions_with_open_fines"])
    return [row["institution_id"] for row in rows]


async def open_groups(connection: Connection, institution_id: str) -> list[OpenGroup]:
    """Returns the groups of an institution's open fines, the groups with the most fines first."""
    groups = [
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
        for row in await connection.fetch(SQL["open_groups"], institution_id)
    ]
    return sorted(groups, key=lambda open_group: (-open_group.fines, repr(open_group.group)))


async def groups_without_profile(
    connection: Connection, profiles: Profiles, institution_id: str | None = None
) -> list[OpenGroup]:
    """Returns the groups of open fines that no profile covers, of one institution or of all."""
    named = [institution_id] if institution_id else await institutions(connection)
    return [
        open_group
        for each in named
        for open_group in await open_groups(connection, each)
        if not profiles.including(open_group.group)
    ]


async def fines_of(
    connection: Connection,
    store: LedgerReader,
    groups: Sequence[FineGroup],
    patron_id: str | None,
    limit: int,
) -> list[tuple[Fine, FineGroup]]:
    """Returns the first `limit` fines of the given groups, all of one institution, each with its
    group.

    With `patron_id` only fines of this patron are returned.
    """
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
    """Returns the group of a fine, which is made of its institution, type, currency, owner and user
    group. `user_group` is the group of the fine's patron, or "" if the patron has none.
    """
    facts = fine.facts
    owner = facts.owner.library_code if facts.owner else None
    return FineGroup(facts.institution_id, facts.type, facts.currency, owner, user_group)


def in_words(profiles: Profiles, institution_id: str) -> str:
    """Returns, in words, why no profile covers a fine of the institution."""
    if not profiles.of_institution(institution_id):
        return "the institution has no profile"
    return "no profile takes its type, currency, owner and user group together"


class CountWithoutProfile:
    """Sets the metric that counts the fines which no profile covers.

    Once in an interval one instance of the service counts the fines for all instances; every
    instance shows this count.
    """

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
        """Counts the fines whenever the interval has passed, until `stop` is set. Raises what the
        database raises.
        """
        await repeat(self.run_once, stop, TURN_CHECK_MS)

    async def run_once(self) -> int:
        """Counts the fines if the interval has passed; returns the latest count, whichever instance
        has made it.

        Fines that are in dispute, not exportable or refused are left out of the count.
        """
        await self._turn.taken(self._count, lambda fines: fines)
        fines, _ = await self._turn.last()
        self._metrics.held_now.labels(Exclusion.NO_PROFILE).set(fines)
        return fines

    async def _count(self, connection: Connection) -> int:
        groups = await groups_without_profile(connection, self._profiles)
        return sum(open_group.fines - open_group.held for open_group in groups)
