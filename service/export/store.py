"""Reads and writes export runs, open fines and number counters in PostgreSQL.

Numbers come from rows of counters and not from sequences of PostgreSQL, so that a rollback gives
them back, a preview can read them without taking them, and no number is left out.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

import orjson

from ..core.amendment import NOT_AMENDED
from ..core.bursar_ids import NUMBER_MIN
from ..core.ledger import Fine, FineKey
from ..database.ledger_read import LedgerReader
from ..database.references import FineVersion
from ..database.session import Connection, statements
from ..database.tables import key_columns
from .batch import CreditRef, Position
from .profiles.profile import Profile
from .run import IdsUsedUp, Numbers, OpenRun
from .schedule import ProfileRuns
from .selection import Exclusion

SQL = statements("export")
OPEN_FINES_COUNTED_MAX = 100_000
EMPTY_RUNS_DELETED_MAX = 1_000
# Release 0.3.0 counts fines of a type that no profile names under this reason.
FORMER_REASON = "unknown_type"
# Release 0.3.0 cannot continue a run that has held fines back for these reasons.
LATER_REASONS = frozenset({Exclusion.CREDIT_UNCONFIRMED, Exclusion.WAITS_FOR_FINE})


async def open_run(connection: Connection, profile: Profile, run_id: str) -> OpenRun:
    """Returns the open run of the profile; if there is none, begins one with the id `run_id`."""
    run = None
    while run is None:  # another exporter may end the run between two statements
        await connection.execute(SQL["open_run"], *profile.key, run_id)
        run = await _run(connection, "run", profile)
    return run


async def open_due_run(
    connection: Connection, profile: Profile, run_id: str, runs: ProfileRuns
) -> OpenRun | None:
    """Returns the open run, or begins one; returns None if another process has completed a run
    since `runs` was read.
    """
    async with connection.transaction():
        await connection.execute(SQL["lock_schedule"], *profile.key)
        # A run that was open then and is not open any more was continued to its end.
        if runs.open_run is None:
            await connection.execute(SQL["open_due_run"], *profile.key, run_id, runs.last_cutoff)
        return await _run(connection, "run", profile)


async def lock_run(connection: Connection, profile: Profile) -> OpenRun | None:
    """Locks the open run and returns it; returns None if another process has ended it."""
    return await _run(connection, "lock_run", profile)


async def current_run(connection: Connection, profile: Profile) -> OpenRun:
    """Returns the open run, or the run that would begin now; nothing is written."""
    run = await _run(connection, "run", profile)
    if run is not None:
        return run
    now = await connection.fetchval(SQL["clock"])
    cutoff = now.replace(microsecond=now.microsecond // 1_000 * 1_000)
    return OpenRun(*profile.key, "preview", cutoff, ("", ""), 0, 0, {})


async def _run(connection: Connection, name: str, profile: Profile) -> OpenRun | None:
    row = await connection.fetchrow(SQL[name], *profile.key)
    if row is None:
        return None
    return OpenRun(
        row["institution_id"],
        row["profile"],
        row["run_id"],
        row["cutoff"],
        (row["after_patron"], row["after_fine"]),
        row["taken"],
        row["parts"],
        counts_of(row["held_back"]) + counts_of(row["held_back_later"] or "{}"),
    )


async def advance_run(connection: Connection, run: OpenRun, *, closed: bool) -> None:
    """Stores how far the run has come. If the run ends, the time of its end is stored for the
    profile, and older runs without a batch are deleted.
    """
    key = (run.institution_id, run.profile)
    later = (
        {} if closed else {why: run.held_back[why] for why in LATER_REASONS & run.held_back.keys()}
    )
    await connection.execute(
        SQL["advance_run"],
        *key,
        run.run_id,
        *run.after,
        run.taken,
        run.parts,
        counts_text({why: n for why, n in run.held_back.items() if why not in later}),
        "closed" if closed else "open",
    )
    if later:
        await connection.execute(SQL["put_later_held_back"], *key, run.run_id, counts_text(later))
    if closed:
        await connection.execute(SQL["delete_empty_runs"], *key, run.cutoff, EMPTY_RUNS_DELETED_MAX)
        await connection.execute(SQL["put_run_end"], *key)


def counts_of(text: str) -> Counter[Exclusion]:
    """Reads the number of fines held back for each reason from a JSON text in the database."""
    return Counter(
        {
            Exclusion(reason): count
            for reason, count in orjson.loads(text).items()
            if reason != FORMER_REASON
        }
    )


def counts_text(held_back: Mapping[Exclusion, int]) -> str:
    """Writes the number of fines held back for each reason as a JSON text for the database."""
    return orjson.dumps({reason.value: count for reason, count in held_back.items()}).decode()


async def open_fines(
    connection: Connection,
    store: LedgerReader,
    profile: Profile,
    after: Position,
    limit: int | None,
    patron_ids: Sequence[str] | None = None,
    known: Sequence[str] = (),
    versions: dict[FineKey, FineVersion] | None = None,
) -> list[Fine]:
    """Returns at most `limit` open fines behind the position `after`, in the order of patron id and
    fine id.

    If `patron_ids` is given, only fines of these patrons are returned, except those whose ids are
    in `known`. The fines that were read are also put into `versions`, if it is given, except
    amended ones.
    """
    place = (profile.institution_id, profile.currency, *after)
    if patron_ids is None:
        rows = await connection.fetch(SQL["open_fines"], *place, limit)
    else:
        some = (*place, patron_ids, known, limit)
        rows = await connection.fetch(SQL["open_fines_of_patrons"], *some)
    fines = await store.fines_of(connection, rows)
    if versions is not None:
        versions.update(
            (fine.facts.key, FineVersion(fine, row["version"]))
            for fine, row in zip(fines, rows, strict=True)
            if fine.amendment is NOT_AMENDED
        )
    return fines


async def created_later(
    connection: Connection, run: OpenRun, fines: Iterable[Fine]
) -> frozenset[str]:
    """Returns the ids of those of the fines that came into the ledger after the cutoff of the run.

    The `created_at` of a fine does not tell when the fine came into the ledger. For a fine of the
    library, `created_at` is the library's own time; for a credit that the service has made, it is
    the time of the payment or change.
    """
    fine_ids = sorted({fine.facts.fine_id for fine in fines})
    if not fine_ids:
        return frozenset()
    rows = await connection.fetch(SQL["created_later"], run.institution_id, fine_ids, run.cutoff)
    return frozenset(row["fine_id"] for row in rows)


async def open_fines_left(connection: Connection, profile: Profile) -> int:
    """Returns how many open fines the current run has not looked at yet, at most
    OPEN_FINES_COUNTED_MAX.

    The number is only for a progress bar, which does not justify counting a million fines.
    """
    after = (await current_run(connection, profile)).after
    place = (profile.institution_id, profile.currency, *after)
    return int(await connection.fetchval(SQL["open_fines_left"], *place, OPEN_FINES_COUNTED_MAX))


async def credit_refs(connection: Connection, fines: Collection[FineKey]) -> dict[str, CreditRef]:
    """Returns the live lines of these fines by fine id; fines without a live line are left out."""
    rows = await connection.fetch(SQL["live_lines_of_fines"], *key_columns(fines, 2))
    return {row["fine_id"]: CreditRef(row["line"], row["type"]) for row in rows}


async def take_numbers(connection: Connection, profile: Profile, lines: int) -> Numbers:
    """Takes the numbers of a batch with `lines` fines; the rows of the counters are locked after
    all other rows.

    If the commit fails, the next batch gets the same numbers. Raises IdsUsedUp.
    """
    institution_id = profile.institution_id
    export_number = await connection.fetchval(SQL["take_export_number"], institution_id)
    last_line_number = NUMBER_MIN - 1
    if lines:
        last_line_number = await connection.fetchval(
            SQL["take_line_numbers"], institution_id, lines
        )
    if last_line_number is None:
        raise IdsUsedUp
    previous = await connection.fetchrow(SQL["lock_profile_counter"], *profile.key)
    return Numbers(
        batch_number=1 if previous is None else previous["batch_number"] + 1,
        previous_sha256=None if previous is None else previous["sha256"],
        export_number=int(export_number),
        first_line_number=last_line_number - lines + 1,
    )


async def next_numbers(connection: Connection, profile: Profile) -> Numbers:
    """Returns the numbers that the next batch would take, without taking them."""
    row = await connection.fetchrow(SQL["next_numbers"], *profile.key)
    assert row is not None
    return Numbers(
        row["batch_number"], row["sha256"], int(row["export_number"]), row["first_line_number"]
    )
