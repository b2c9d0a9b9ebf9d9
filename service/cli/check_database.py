"""The part of `bursar-bridge check` that reads the ledger; it runs only on a database that is
reachable and has all migrations.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial

from ..apply.poll import ANY
from ..consumer.offsets import require_continuation
from ..core.words import CREDIT_TYPE
from ..database.adopted_lines import count_waiting_lines, recovery_is_open
from ..database.intake_stops import StopState, stops
from ..database.reach import is_standby
from ..database.session import Connection, Pool
from ..export.profiles.profile import Profile, Profiles
from ..export.reasons import owner_in_words
from ..export.schedule import pauses
from ..imports.files import alike_sources
from ..kafka.topics import INPUTS
from ..operations import quarantined, standing
from ..operations.alike import AlikeOpenFines, alike_open_fines
from ..operations.no_profile import OpenGroup, institutions, open_groups
from ..operations.purge import KINDS
from ..operations.unused_words import unused_words
from ..settings import Settings
from .check import KAFKA_HOME, Finding, fault, note, ok
from .check_services import answer_of
from .pausing import pause_in_words
from .purging import kept_for
from .restore_check import stop_of
from .session import database
from .texts import age, counted, money

NAMED_MAX = 10  # of what is late, unanswered or silent
GROUPS_MAX = 20

Question = Callable[[Connection], Awaitable[list[Finding]]]


async def findings(settings: Settings, profiles: Profiles | None) -> list[Finding]:
    """Returns all findings about what the database holds; all checks take their connections from
    one pool.
    """
    questions: list[tuple[str, Question, Callable[[str, str], Finding]]] = [
        ("database", _standby, fault),
        ("quarantine", _quarantine, fault),
        ("stopped topics", _stopped, fault),
        ("sources", _sources, fault),
        ("standing", partial(_standing, settings, profiles), note),
        ("recovery", _recovery, fault),
        ("fines", _alike, note),
    ]
    if profiles is not None:
        questions += [
            ("profiles", partial(_paused, profiles), fault),
            ("fines", partial(_open_fines, profiles), note),
            ("profiles", partial(_unused_words, profiles), note),
        ]
    async with database(settings) as pool:
        restored = await answer_of("restore check", partial(_restored, settings, pool))
        inputs: list[Finding] = []
        if all(finding.subject != KAFKA_HOME for finding in restored):
            inputs = await answer_of("input topics", partial(_input_topics, settings, pool))
        return [*restored, *inputs, _retention(settings)] + [
            finding
            for subject, question, otherwise in questions
            for finding in await answer_of(subject, partial(_ask, pool, question), otherwise)
        ]


async def _ask(pool: Pool, question: Question) -> list[Finding]:
    async with pool.acquire() as connection:
        return await question(connection)


async def _restored(settings: Settings, pool: Pool) -> list[Finding]:
    """With another Kafka than its own, nothing can be said of the topics of the database."""
    stop = await stop_of(settings, pool)
    if stop is not None:
        return [fault(KAFKA_HOME if stop.is_elsewhere else "restore check", stop.message)]
    return [ok("restore check", "Kafka knows nothing that this database does not")]


def _retention(settings: Settings) -> Finding:
    """For how long what the ledger does not need is kept."""
    kinds = (f"{kind.words}: {kept_for(kind, settings)}" for kind in KINDS)
    return ok("retention", "kept for: " + "; ".join(kinds))


async def _input_topics(settings: Settings, pool: Pool) -> list[Finding]:
    """Whether the intake can go on where it has stopped reading."""
    names = [settings.topic_prefix + name for name in INPUTS]
    await require_continuation(pool, settings, settings.consumer_group, names)
    return [ok("input topics", "go on where this database has stopped reading")]


async def _standby(connection: Connection) -> list[Finding]:
    """Whether the server takes writes. Nothing as a rule."""
    if await is_standby(connection):
        return [
            fault("database", "only reads: the server is a standby; promote it, or use another")
        ]
    return []


async def _quarantine(connection: Connection) -> list[Finding]:
    """The service starts with records in quarantine, and none of them is sent by itself."""
    records = await quarantined.count(connection)
    if records == 0:
        return [ok("quarantine", "empty")]
    what = f"{counted(records, 'record')} that the broker refused"
    way = "`bursar-bridge quarantined list`; mend the cause, then `quarantined release`"
    return [note("quarantine", f"{what}: {way}")]


async def _stopped(connection: Connection) -> list[Finding]:
    """The service starts with stopped topics, and only a person resumes them."""
    states = await stops(connection)
    return [note("stopped topics", _stop_in_words(state)) for state in states] or [
        ok("stopped topics", "none")
    ]


def _stop_in_words(state: StopState) -> str:
    if state.resumed_at is not None:
        return f"{state.in_words}; it was resumed, {counted(state.records, 'record')} to take"
    waiting = "" if state.key.is_of_topic else f"; {counted(state.records, 'record')} waiting"
    return f"{state.in_words}{waiting}: `intake list`, then `intake resume`"


async def _sources(connection: Connection) -> list[Finding]:
    """Sources are told apart by each letter: the same payment under two of them counts twice."""
    return [
        note(
            "sources",
            f"institution {pair.institution_id}, {pair.record}s: the sources "
            f"{', '.join(pair.sources)} differ only in upper and lower case or blanks; "
            f"if they are one system, what it sends under both counts twice",
        )
        for pair in await alike_sources(connection)
    ] or [ok("sources", "none differ only in their spelling")]


async def _standing(
    settings: Settings, profiles: Profiles | None, connection: Connection
) -> list[Finding]:
    """Runs, batches and sources that did not come although they were to be expected."""
    exported = () if profiles is None else profiles.profiles
    runs = await standing.profile_standings(connection, exported, settings.run_late_seconds_max)
    days = settings.unanswered_batch_days
    batches = await standing.unanswered_batches(connection, exported, days)
    silent = await standing.silent_sources(connection, settings.silent_source_days)
    return [
        *_late_runs(runs),
        *(note("batches", _unanswered(batch)) for batch in batches[:NAMED_MAX]),
        *_more("batches", len(batches), "batches without an answer"),
        *(note("sources", _silent(source)) for source in silent[:NAMED_MAX]),
        *_more("sources", len(silent), "silent sources"),
    ] or [ok("standing", "no late run, unanswered batch or silent source")]


def _late_runs(runs: Iterable[standing.ProfileStanding]) -> Iterator[Finding]:
    for run in runs:
        if run.is_overdue:
            since = "no run has ended so far, for" if run.ended_at is None else "last run ended"
            ago = "" if run.ended_at is None else " ago"
            text = f"{run.profile}: a run is overdue: {since} {age(run.age_seconds)}{ago}"
            yield note("profiles", text)


def _unanswered(batch: standing.UnansweredBatch) -> str:
    return (
        f"{batch.profile}: batch {batch.batch_number}: no response and no payment for "
        f"{batch.age_days} days"
    )


def _silent(source: standing.SilentSource) -> str:
    institution_id, topic, name = source.sender
    who = f"institution {institution_id}" if name == ANY else f"source {name} of {institution_id}"
    return f"{topic}: {who} has sent nothing for {source.age_days} days"


def _more(subject: str, count: int, what: str) -> Iterator[Finding]:
    if count > NAMED_MAX:
        yield note(subject, f"{count} {what} in all")


async def _recovery(connection: Connection) -> list[Finding]:
    """What a recovery has left: that it goes on, and lines that no fine has taken. Nothing as a
    rule.
    """
    findings = []
    if await recovery_is_open(connection):
        text = "goes on: exports are off until the topics are read again to where they were read"
        findings.append(note("recovery", text))
    count = await count_waiting_lines(connection)
    if count.lines:
        text = f"{counted(count.lines, 'published line')} of no fine so far"
        held = f"{counted(count.of_open_fines, 'open fine')} not exported for that"
        findings.append(note("recovery", f"{text}, {held}: `recovered lines`"))
    return findings


async def _paused(profiles: Profiles, connection: Connection) -> list[Finding]:
    """Paused profiles, with those that are not configured any more."""
    known = {(profile.institution_id, profile.code) for profile in profiles.profiles}
    return [
        note(
            "profiles",
            pause_in_words(pause) + ("" if key in known else "; no such profile is configured"),
        )
        for key, pause in (await pauses(connection)).items()
    ]


async def _open_fines(profiles: Profiles, connection: Connection) -> list[Finding]:
    """How many open fines each profile takes, and which ones no profile takes."""
    groups = [
        group
        for institution_id in await institutions(connection)
        for group in await open_groups(connection, institution_id)
    ]
    findings = [ok("fines", _taken(profile, groups)) for profile in profiles.profiles]
    lost = [group for group in groups if not profiles.including(group.group)]
    findings += [note("fines", _without_profile(group, profiles)) for group in lost[:GROUPS_MAX]]
    if more := lost[GROUPS_MAX:]:
        text = f"no profile takes {_open(more)} of {len(more)} further groups: `held list`"
        findings.append(note("fines", text))
    return findings


async def _alike(connection: Connection) -> list[Finding]:
    """Fines that look like one fine that was created under two ids: both are billed."""
    findings: list[Finding] = []
    for institution_id in await institutions(connection):
        wanted = NAMED_MAX + 1 - len(findings)
        groups = await alike_open_fines(connection, institution_id, wanted)
        findings += [note("fines", _alike_in_words(group)) for group in groups]
        if len(findings) > NAMED_MAX:
            return [*findings[:NAMED_MAX], note("fines", "there are more fines that look alike")]
    return findings or [ok("fines", "no two open fines have the same loan, type and sum")]


def _alike_in_words(alike: AlikeOpenFines) -> str:
    more = alike.fines - 2
    others = f" and {counted(more, 'other')}" if more else ""
    amount = money(alike.remaining, alike.currency)
    return (
        f"institution {alike.institution_id}: {alike.first_fine_id}, {alike.last_fine_id}{others} "
        f"have the same loan {alike.loan_id}, type {alike.type} and sum {amount} {alike.currency}: "
        "was one fine created twice?"
    )


def _taken(profile: Profile, groups: Iterable[OpenGroup]) -> str:
    of_institution = [
        group for group in groups if group.group.institution_id == profile.institution_id
    ]
    taken = sum(group.fines for group in of_institution if profile.includes(group.group))
    return f"{profile.code}: takes {taken} of {_open(of_institution)}"


def _without_profile(fines: OpenGroup, profiles: Profiles) -> str:
    """How many fines, which, and how many of them are held back anyway."""
    group = fines.group
    kind = "credits" if group.type == CREDIT_TYPE else f"type {group.type}"
    patron_group = f"user group {group.user_group or 'unknown'}"
    which = f"{kind}, {group.currency}, {owner_in_words(group.library_code)}, {patron_group}"
    held = f"; {fines.held} in dispute, not exportable or refused" if fines.held else ""
    nobody = "" if profiles.of_institution(group.institution_id) else " (it has no profile)"
    return (
        f"institution {group.institution_id}{nobody}: no profile takes {_open([fines])}: "
        f"{which}{held}"
    )


def _open(groups: Iterable[OpenGroup]) -> str:
    return counted(sum(group.fines for group in groups), "open fine")


async def _unused_words(profiles: Profiles, connection: Connection) -> list[Finding]:
    """A word that no fine has is allowed, and as a rule a slip of the pen: nothing is exported."""
    return [
        note("profiles", f"{unused.profile}: {unused.option}: nothing has {unused.word} so far")
        for unused in await unused_words(connection, profiles)
    ]
