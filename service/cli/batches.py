"""`bursar-bridge batches`: sealed batches and what became of their lines."""

import asyncio

import asyncpg

from ..core.ledger import BatchKey
from ..core.words import BatchState
from ..operations import reports
from ..operations.reports import BatchFilter
from ..settings import Settings
from .errors import operator_errors, settings_or_exit
from .lists import Listing, Row, identifier, number, text, word
from .shown import (
    database,
    misuse,
    printed,
    require,
)
from .tables import show, show_one

BATCHES = Listing(
    "nothing was exported",
    (
        identifier("profile"),
        number("batch_number"),
        word("state"),
        number("fine_count"),
        number("total"),
        word("currency"),
        word("sealed_at"),
        identifier("institution_id", wide=True),
        identifier("file_name", wide=True),
        identifier("export_number", wide=True),
        word("cutoff", wide=True),
        identifier("run_id", wide=True),
        identifier("sha256", wide=True),
    ),
)
LINES = Listing(
    "the batch is empty",
    (
        identifier("bursar_transaction_id"),
        number("amount"),
        word("currency"),
        word("became"),
        number("outstanding"),
        identifier("fine_id"),
        text("refused_reason"),
        identifier("patron_id", wide=True),
        word("state", wide=True),
        word("fine_status", wide=True),
        number("paid", wide=True),
        number("written_off", wide=True),
    ),
    json_only=frozenset({"what", "institution_id", "profile", "batch_number"}),
)


def list_batches(
    institution: str | None,
    profile: str | None,
    state: BatchState | None,
    line: str | None,
    fine: str | None,
    limit: int,
    wide: bool,
    as_json: bool,
) -> None:
    if (line is not None or fine is not None) and institution is None:
        raise misuse("--line, --fine: only with --institution")
    if line is not None and fine is not None:
        raise misuse("name one of --line, --fine")
    settings = settings_or_exit()
    wanted = BatchFilter(institution, profile, state, line, fine, limit)
    with operator_errors():
        rows = asyncio.run(_batches(settings, wanted))
    show(BATCHES, [_batch(row) for row in rows], as_json, wide=wide)


def show_batch(
    profile: str, number: int, institution: str | None, wide: bool, as_json: bool
) -> None:
    settings = settings_or_exit()
    with operator_errors():
        found = asyncio.run(_one_batch(settings, institution, profile, number))
    if found is None:
        require([])
        return
    row, lines, responses = found
    answers = [_answer(one) for one in responses]
    became = [f"{count} {word}" for word, count in sorted(reports.totals(lines).items())]
    head = {"what": "batch"} if as_json else {}
    show_one({**head, **_batch(row), "responses": answers, "became": became}, as_json)
    show(LINES, [_line(line) for line in lines], as_json, wide=wide)


def _answer(row: asyncpg.Record) -> str:
    """Who said what of how many lines, and whether it counted."""
    said = row["outcome"]  # None: older versions did not keep it
    if said is not None and row["lines"] is not None:
        said = f"{said} ({row['lines']} {'line' if row['lines'] == 1 else 'lines'})"
    counted = row["state"] if row["reason"] is None else f"{row['state']}: {row['reason']}"
    parts = (row["response_id"], said, counted)
    return f"{row['source']}: {', '.join(part for part in parts if part is not None)}"


async def _batches(settings: Settings, wanted: BatchFilter) -> list[asyncpg.Record]:
    async with database(settings) as pool, pool.acquire() as connection:
        return await reports.batches(connection, wanted)


async def _one_batch(
    settings: Settings, institution: str | None, profile: str, number: int
) -> tuple[asyncpg.Record, list[asyncpg.Record], list[asyncpg.Record]] | None:
    async with (
        database(settings) as pool,
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        owners = [institution] if institution else await reports.owners(connection, profile, number)
        if len(owners) > 1:
            raise misuse("--institution: several have such a batch, say which")
        return (
            await reports.batch(connection, BatchKey(owners[0], profile, number))
            if owners
            else None
        )


def _batch(row: asyncpg.Record) -> Row:
    return printed(row, ("total",))


def _line(row: asyncpg.Record) -> Row:
    values = printed(row, ("amount", "outstanding", "paid", "written_off"))
    return {"what": "line", **values, "became": reports.became(row)}
