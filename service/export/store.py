"""Runs, batches and counters in PostgreSQL. Numbers come from counter rows, never sequences."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

import asyncpg
import orjson

from ..core.events import ParkedKey
from ..core.ledger import BatchKey, Fine, FineKey
from ..database.ledger_store import LedgerStore, columns
from ..database.records import unpack_headers
from ..database.rows import pack_headers
from ..database.session import Connection, statements
from ..messages import Message
from .batch import CreditRef
from .manifest import Manifest
from .profiles.profile import Profile
from .schedule import ProfileRuns
from .selection import Exclusion

SQL = statements("export")
OPEN_FINES_COUNTED_MAX = 100_000
EMPTY_RUNS_DELETED_MAX = 1_000


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run between two batches: what lies behind (patron, fine) is done.

    `taken` is what it took so far of the patron at the mark, signed minor units.
    """

    institution_id: str
    profile: str
    run_id: str
    cutoff: datetime
    after: tuple[str, str]
    taken: int
    parts: int
    held_back: Mapping[Exclusion, int]
    # Of a preview: parked records on which the program fails. A run has marked them.
    left_out: frozenset[ParkedKey] = frozenset()


@dataclass(frozen=True, slots=True)
class Numbers:
    """What one batch takes: bursar ids are `first_bursar_id` and those that follow it."""

    batch_number: int
    previous_sha256: bytes | None
    export_number: int
    first_bursar_id: int


async def open_run(connection: Connection, profile: Profile, run_id: str) -> OpenRun:
    """The open run of the profile; `run_id` names a new one where none is open."""
    await connection.execute(SQL["open_run"], profile.institution_id, profile.code, run_id)
    row = await connection.fetchrow(SQL["run"], profile.institution_id, profile.code)
    if row is None:  # closed by another exporter in between
        return await open_run(connection, profile, run_id)
    return _run(row)


async def open_due_run(
    connection: Connection, profile: Profile, run_id: str, runs: ProfileRuns
) -> OpenRun | None:
    """The open run, or a new one; None where another exporter has run since `runs` was read."""
    async with connection.transaction():
        await connection.execute(SQL["lock_schedule"], profile.institution_id, profile.code)
        if (
            runs.open_run is None
        ):  # one that was open and is not any more was gone on with to its end
            own = (profile.institution_id, profile.code, run_id, runs.last_cutoff)
            await connection.execute(SQL["open_due_run"], *own)
        row = await connection.fetchrow(SQL["run"], profile.institution_id, profile.code)
        return None if row is None else _run(row)


async def lock_run(connection: Connection, profile: Profile) -> OpenRun | None:
    """The open run, locked; None when another exporter has closed it."""
    row = await connection.fetchrow(SQL["lock_run"], profile.institution_id, profile.code)
    return None if row is None else _run(row)


def _run(row: asyncpg.Record) -> OpenRun:
    held_back = {Exclusion(reason): n for reason, n in orjson.loads(row["held_back"]).items()}
    return OpenRun(
        row["institution_id"],
        row["profile"],
        row["run_id"],
        row["cutoff"],
        (row["after_patron"], row["after_fine"]),
        row["taken"],
        row["parts"],
        held_back,
    )


async def advance_run(connection: Connection, run: OpenRun, *, closed: bool) -> None:
    """Stores the run's mark. A run that closes takes the empty runs before it along."""
    held_back = orjson.dumps({reason.value: n for reason, n in run.held_back.items()}).decode()
    await connection.execute(
        SQL["advance_run"],
        run.institution_id,
        run.profile,
        run.run_id,
        *run.after,
        run.taken,
        run.parts,
        held_back,
        "closed" if closed else "open",
    )
    if closed:
        await connection.execute(
            SQL["delete_empty_runs"],
            run.institution_id,
            run.profile,
            run.cutoff,
            EMPTY_RUNS_DELETED_MAX,
        )
        await connection.execute(SQL["put_run_end"], run.institution_id, run.profile)


async def open_fines(
    connection: Connection,
    store: LedgerStore,
    profile: Profile,
    after: tuple[str, str],
    limit: int,
) -> list[Fine]:
    """A page in (patron, fine) order."""
    rows = await connection.fetch(
        SQL["open_fines"], profile.institution_id, profile.currency, *after, limit
    )
    return await store.fines_of(connection, rows)


async def open_fines_left(connection: Connection, profile: Profile) -> int:
    """How many fines the run that is open, or would be opened now, looks at.

    Counted up to OPEN_FINES_COUNTED_MAX: a progress bar is not worth reading a million fines.
    """
    after = (await new_run(connection, profile)).after
    own = (profile.institution_id, profile.currency)
    count: int = await connection.fetchval(
        SQL["open_fines_left"], *own, *after, OPEN_FINES_COUNTED_MAX
    )
    return count


async def open_fines_of_patrons(
    connection: Connection,
    store: LedgerStore,
    profile: Profile,
    after: tuple[str, str],
    patron_ids: list[str],
    limit: int | None = None,
) -> list[Fine]:
    """What these patrons still have open behind the mark, in (patron, fine) order; a page of it."""
    own = (profile.institution_id, profile.currency)
    sql = SQL["open_fines_of_patrons"]
    rows = await connection.fetch(sql, *own, *after, patron_ids, limit)
    return await store.fines_of(connection, rows)


async def credit_refs(connection: Connection, fines: Collection[FineKey]) -> dict[str, CreditRef]:
    """By fine id; none for a fine without a live line."""
    rows = await connection.fetch(SQL["live_lines_of_fines"], *columns(fines, 2))
    return {row["fine_id"]: CreditRef(row["line"], row["type"]) for row in rows}


async def take_numbers(connection: Connection, profile: Profile, fines: int) -> Numbers:
    """The next numbers, locked last of all; they come back if the commit does not happen."""
    institution_id = profile.institution_id
    taken = await connection.fetchrow(SQL["take_institution_numbers"], institution_id, fines)
    assert taken is not None
    last = await connection.fetchrow(SQL["lock_profile_counter"], institution_id, profile.code)
    return Numbers(
        batch_number=1 if last is None else last["batch_number"] + 1,
        previous_sha256=None if last is None else last["sha256"],
        export_number=int(taken["export_number"]),
        first_bursar_id=int(taken["bursar_transaction_id"]) - fines + 1,
    )


async def next_numbers(connection: Connection, profile: Profile) -> Numbers:
    """What the next batch would take; nothing is taken."""
    row = await connection.fetchrow(SQL["next_numbers"], profile.institution_id, profile.code)
    assert row is not None
    return Numbers(
        row["batch_number"], row["sha256"], int(row["export_number"]), int(row["first_bursar_id"])
    )


async def new_run(connection: Connection, profile: Profile) -> OpenRun:
    """The run that is open, or the one that would be opened now; nothing is written."""
    row = await connection.fetchrow(SQL["run"], profile.institution_id, profile.code)
    if row is not None:
        return _run(row)
    now = await clock(connection)
    cutoff = now.replace(microsecond=now.microsecond // 1_000 * 1_000)
    return OpenRun(profile.institution_id, profile.code, "preview", cutoff, ("", ""), 0, 0, {})


async def seal(
    connection: Connection, manifest: Manifest, document: Message, as_message: Message
) -> None:
    """The batch as it leaves the house: bytes that never change again."""
    previous = manifest.previous_sha256
    sha256 = bytes.fromhex(manifest.sha256)
    await connection.execute(
        SQL["seal_batch"],
        manifest.institution_id,
        manifest.profile,
        manifest.batch_number,
        manifest.run_id,
        manifest.export_number,
        manifest.currency,
        manifest.count,
        manifest.total,
        manifest.file_name,
        sha256,
        None if previous is None else bytes.fromhex(previous),
        document.value,
        pack_headers(document.headers),
        as_message.value,
        pack_headers(as_message.headers),
        manifest.cutoff,
        manifest.sealed_at,
    )
    await connection.execute(
        SQL["set_profile_counter"],
        manifest.institution_id,
        manifest.profile,
        manifest.batch_number,
        sha256,
    )


async def manifest_queued(connection: Connection, manifest: Manifest) -> None:
    """Notes the outbox row of the manifest; to be called right after it was put."""
    await connection.execute(
        SQL["manifest_queued"], manifest.institution_id, manifest.profile, manifest.batch_number
    )


async def sealed_messages(connection: Connection, key: BatchKey) -> tuple[Message, Message] | None:
    """The document and the manifest as they were published; None for a batch unknown here."""
    row = await connection.fetchrow(SQL["sealed_bytes"], *key)
    if row is None:
        return None
    record_key = row["record_key"].encode()
    return (
        Message(record_key, row["document"], unpack_headers(row["document_headers"])),
        Message(record_key, row["manifest"], unpack_headers(row["manifest_headers"])),
    )


async def clock(connection: Connection) -> datetime:
    """The database's: schedules and cutoffs go by it alone."""
    now: datetime = await connection.fetchval(SQL["clock"])
    return now
