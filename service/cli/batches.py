"""The work of `bursar-bridge export list` and `export show`: shows sealed batches, and whether
their lines were paid or refused.
"""

import asyncpg

from ..core.ledger import BatchKey
from ..core.words import BatchState
from ..database.session import Connection
from ..operations import reports
from ..operations.reports import BatchFilter
from .commands.options import ListOptions, ShowOptions
from .errors import end_without, usage_error
from .lists import Listing, Row, identifier, number, text, word
from .session import read_database
from .tables import show, show_card
from .texts import counted, removed_after, with_money

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
        text("xml", wide=True),
    ),
    kind="batch",
)
EXPORT_LINES = Listing(
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
    options: ListOptions,
    institution: str | None,
    profile: str | None,
    state: BatchState | None,
    bursar_transaction_id: str | None,
    fine: str | None,
) -> None:
    """Lists the sealed batches that the options of `export list` select, the newest first."""
    if (bursar_transaction_id is not None or fine is not None) and institution is None:
        raise usage_error("--line, --fine: only with --institution")
    if bursar_transaction_id is not None and fine is not None:
        raise usage_error("name one of --line, --fine")
    selected = BatchFilter(institution, profile, state, bursar_transaction_id, fine, options.limit)
    rows = read_database(lambda connection: reports.batches(connection, selected))
    show(BATCHES, [_batch(row) for row in rows], options.as_json, wide=options.wide)


def show_batch(profile: str, batch: int, options: ShowOptions, institution: str | None) -> None:
    """Shows one batch, its lines, and the bursar's responses to the batch."""
    details = read_database(
        lambda connection: _details(connection, institution, profile, batch), snapshot=True
    )
    if details is None:
        end_without("batch")
    row, lines, responses = details
    answers = [_answer(response) for response in responses]
    became = [f"{count} {state}" for state, count in sorted(reports.totals(lines).items())]
    head = {"what": "batch"} if options.as_json else {}
    show_card(
        {**head, **_batch(row), "responses": answers, "became": became},
        options.as_json,
    )
    show(EXPORT_LINES, [_export_line(line) for line in lines], options.as_json, wide=options.wide)


def _batch(row: asyncpg.Record) -> Row:
    values = with_money(row, ("total",))
    del values["removed_after_days"]
    return {**values, "xml": removed_after(row["removed_after_days"])}


def _answer(response: asyncpg.Record) -> str:
    """Who answered what about how many lines, and whether it counted."""
    outcome = response["outcome"]  # None: older versions did not keep it
    if outcome is not None and response["lines"] is not None:
        outcome = f"{outcome} ({counted(response['lines'], 'line')})"
    state, reason = response["state"], response["reason"]
    parts = (response["response_id"], outcome, state if reason is None else f"{state}: {reason}")
    return f"{response['source']}: {', '.join(part for part in parts if part is not None)}"


async def _details(
    connection: Connection, institution: str | None, profile: str, batch: int
) -> tuple[asyncpg.Record, list[asyncpg.Record], list[asyncpg.Record]] | None:
    owners = [institution] if institution else await reports.owners(connection, profile, batch)
    if len(owners) > 1:
        raise usage_error("--institution: several have such a batch, say which")
    return await reports.batch(connection, BatchKey(owners[0], profile, batch)) if owners else None


def _export_line(row: asyncpg.Record) -> Row:
    values = with_money(row, ("amount", "outstanding", "paid", "written_off"))
    return {"what": "line", **values, "became": reports.became(row)}
