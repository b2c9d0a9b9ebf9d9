"""What `bursar-bridge check` asks of a database that is whole."""

from ..database.session import create_pool
from ..export.profiles.profile import Profiles
from ..imports.files import alike_sources
from ..operations import quarantined
from ..operations.unmet import unmet
from ..settings import Settings
from .check import Line, Verdict
from .restore_check import finding_of


async def restored(settings: Settings) -> list[Line]:
    line = await finding_of(settings)
    if line is not None:
        return [Line("restore check", Verdict.FAULT, line)]
    return [Line("restore check", Verdict.OK, "Kafka knows nothing that this database does not")]


async def quarantine(settings: Settings) -> list[Line]:
    """The service starts with records in quarantine, and none of them is sent by itself."""
    url = settings.database_url.get_secret_value()
    async with (
        await create_pool(url, settings) as pool,
        pool.acquire() as connection,
    ):
        records = await quarantined.count(connection)
    if records == 0:
        return [Line("quarantine", Verdict.OK, "empty")]
    what = f"{records} {'record' if records == 1 else 'records'} that the broker refused"
    way = "`bursar-bridge quarantined list`; mend the cause, then `quarantined release`"
    return [Line("quarantine", Verdict.NOTE, f"{what}: {way}")]


async def sources(settings: Settings) -> list[Line]:
    """Sources are told apart by each letter: the same payment under two of them counts twice."""
    url = settings.database_url.get_secret_value()
    async with (
        await create_pool(url, settings) as pool,
        pool.acquire() as connection,
    ):
        alike = await alike_sources(connection)
    if not alike:
        return [Line("sources", Verdict.OK, "none differ only in their spelling")]
    return [
        Line(
            "sources",
            Verdict.NOTE,
            f"institution {pair.institution_id}, {pair.record}s: the sources "
            f"{', '.join(pair.sources)} differ only in upper and lower case or blanks; "
            f"if they are one system, what it sends under both counts twice",
        )
        for pair in alike
    ]


async def unmet_words(settings: Settings, profiles: Profiles) -> list[Line]:
    """A word that no fine has is allowed, and as a rule a slip of the pen: nothing is exported."""
    async with (
        await create_pool(settings.database_url.get_secret_value(), settings) as pool,
        pool.acquire() as connection,
    ):
        found = await unmet(connection, profiles)
    return [
        Line(
            "profiles", Verdict.NOTE, f"{one.profile}: {one.option}: nothing has {one.word} so far"
        )
        for one in found
    ]
