"""The work of `bursar-bridge purge`: counts or removes the data whose retention has ended."""

import asyncio
from collections.abc import Mapping

from ..operations.purge import KINDS, Kind, count_due, oldest_kept, purge
from ..settings import Settings
from ..settings.retention import FOR_EVER, RetentionLimits
from . import progress
from .errors import settings_or_exit
from .lists import Listing, Row, number, sentence, word
from .problems import operator_errors
from .session import database, writing
from .tables import show
from .texts import age, counted

PURGED = Listing(
    "nothing is kept for a limited time",
    (
        word("kind"),
        word("kept_for"),
        number("due"),
        number("removed"),
        word("oldest"),
        sentence("what"),
    ),
)


def purge_now(dry_run: bool, as_json: bool) -> None:
    """Removes the data whose retention has ended, or with `dry_run` only counts it; shows the
    number of rows of each kind.
    """
    settings = settings_or_exit()
    with operator_errors():
        counts, ages = asyncio.run(_counted(settings) if dry_run else _purged(settings))
    name = "due" if dry_run else "removed"
    show(PURGED, [_row(kind, settings, name, counts, ages) for kind in KINDS], as_json)


Counts = tuple[Mapping[str, int], Mapping[str, int]]  # rows, and ages in seconds, by kind


async def _counted(settings: Settings) -> Counts:
    async with database(settings) as pool, pool.acquire() as connection:
        with progress.waiting("counting"):
            return await count_due(connection, settings), await oldest_kept(connection)


async def _purged(settings: Settings) -> Counts:
    async with writing(settings) as writer:
        with progress.waiting("removing"):
            removed = await purge(writer, settings)
        async with writer.pool.acquire() as connection:
            return removed, await oldest_kept(connection)


def _row(
    kind: Kind,
    limits: RetentionLimits,
    name: str,
    counts: Mapping[str, int],
    ages: Mapping[str, int],
) -> Row:
    oldest = ages.get(kind.name, 0)
    return {
        "kind": kind.name,
        "kept_for": kept_for(kind, limits),
        name: counts.get(kind.name, 0),
        "oldest": age(oldest) if oldest else None,
        "what": kind.words,
    }


def kept_for(kind: Kind, limits: RetentionLimits) -> str:
    """Returns for how long data of this kind is kept, in words: a number of days, or "ever"."""
    days = kind.days(limits)
    return "ever" if days == FOR_EVER else counted(days, "day")
