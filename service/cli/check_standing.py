"""What `bursar-bridge check` says of runs, batches and sources that were to be expected."""

from collections.abc import Iterable, Iterator

from ..apply.sources import ANY
from ..database.session import create_pool
from ..export.profiles.profile import Profiles
from ..operations import standing
from ..operations.standing import ProfileStanding, SilentSource, UnansweredBatch
from ..settings import Settings
from .check import Line, Verdict
from .shown import age

NAMED_MAX = 10  # of what is late, unanswered or silent


async def standing_lines(settings: Settings, profiles: Profiles | None) -> list[Line]:
    """What did not happen although it was to be expected."""
    limits, exported = settings, () if profiles is None else profiles.profiles
    url = settings.database_url.get_secret_value()
    async with (
        await create_pool(url, settings) as pool,
        pool.acquire() as connection,
    ):
        runs = await standing.profile_standings(connection, exported, limits.run_late_seconds_max)
        days = limits.unanswered_batch_days
        batches = await standing.unanswered_batches(connection, exported, days)
        silent = await standing.silent_sources(connection, limits.silent_source_days)
    lines = [
        *_late_runs(runs),
        *(Line("batches", Verdict.NOTE, _unanswered(batch)) for batch in batches[:NAMED_MAX]),
        *_more("batches", len(batches), "batches without an answer"),
        *(Line("sources", Verdict.NOTE, _silent(source)) for source in silent[:NAMED_MAX]),
        *_more("sources", len(silent), "silent sources"),
    ]
    return lines or [Line("standing", Verdict.OK, "no late run, unanswered batch or silent source")]


def _late_runs(runs: Iterable[ProfileStanding]) -> Iterator[Line]:
    for run in runs:
        if run.is_overdue:
            since = "no run has ended so far, for" if run.ended_at is None else "last run ended"
            ago = "" if run.ended_at is None else " ago"
            text = f"{run.profile}: a run is overdue: {since} {age(run.age_seconds)}{ago}"
            yield Line("profiles", Verdict.NOTE, text)


def _unanswered(batch: UnansweredBatch) -> str:
    what = f"{batch.profile}: batch {batch.batch_number}"
    return f"{what}: no response and no payment for {batch.age_days} days"


def _silent(source: SilentSource) -> str:
    institution_id, topic, name = source.sender
    who = f"institution {institution_id}" if name == ANY else f"source {name} of {institution_id}"
    return f"{topic}: {who} has sent nothing for {source.age_days} days"


def _more(subject: str, count: int, what: str) -> Iterator[Line]:
    if count > NAMED_MAX:
        yield Line(subject, Verdict.NOTE, f"{count} {what} in all")
