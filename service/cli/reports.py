"""`bursar-bridge balance`, `history`, `batches`: what people ask of the ledger."""

import asyncio
from datetime import datetime
from typing import Annotated

import asyncpg
import typer

from service.cli.errors import operator_errors, settings_or_exit
from service.cli.shown import (
    InstitutionOption,
    JsonOption,
    LimitOption,
    Row,
    database,
    misuse,
    money,
    require,
    show,
    show_one,
)
from service.core.ledger import BatchKey
from service.core.words import BatchState
from service.messages.values import INSTANT_RULE, instant
from service.settings import Settings
from service.upkeep import history, reports
from service.upkeep.history import Entry, Story
from service.upkeep.reports import AsOf, Balance

batches = typer.Typer(help="Sealed batches and what became of their lines.", no_args_is_help=True)

Institution = Annotated[str, typer.Option("--institution", help="Id of the institution.")]
PatronOption = Annotated[str | None, typer.Option("--patron", help="The patron_id.")]
CurrencyOption = Annotated[str | None, typer.Option("--currency", help="One currency alone.")]


def balance(
    institution: Institution,
    patron: Annotated[str, typer.Option("--patron", help="The patron_id.")],
    currency: CurrencyOption = None,
    at: Annotated[
        str | None, typer.Option("--at", help="As of an instant, such as 2026-09-01T00:00:00Z.")
    ] = None,
    recorded: Annotated[
        bool | None,
        typer.Option(
            "--recorded/--effective", help="With --at: as it was known then, or as it was then."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """A patron's balances: in the library, at the bursar, and together."""
    if recorded is not None and at is None:
        raise misuse("--recorded, --effective: only with --at")
    moment = _instant(at)
    as_of = AsOf.EFFECTIVE if recorded is False else AsOf.RECORDED
    settings = settings_or_exit()
    with operator_errors():
        found = asyncio.run(_balances(settings, institution, patron, currency, moment, as_of))
    require(found)
    show([_balance(institution, patron, one) for one in found], as_json)


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    found = instant(text)
    if found is None:
        raise misuse(f"--at: {INSTANT_RULE}")
    return found


async def _balances(
    settings: Settings,
    institution: str,
    patron: str,
    currency: str | None,
    at: datetime | None,
    as_of: AsOf,
) -> list[Balance]:
    async with database(settings) as pool, pool.acquire() as connection:
        return await reports.balances(connection, institution, patron, currency, at, as_of)


def _balance(institution: str, patron: str, one: Balance) -> Row:
    return {
        "institution_id": institution,
        "patron_id": patron,
        "currency": one.currency,
        "active": money(one.active, one.currency),
        "transferred": money(one.transferred, one.currency),
        "total": money(one.total, one.currency),
        "epoch": one.epoch,
        "sequence": one.sequence,
    }


def show_history(
    institution: Institution,
    patron: PatronOption = None,
    fine: Annotated[str | None, typer.Option("--fine", help="The fine_id.")] = None,
    as_json: JsonOption = False,
) -> None:
    """A fine's whole story, or a patron's: the ledger, answers, what waits, refusals, decisions."""
    if (patron is None) == (fine is None):
        raise misuse("name one of --patron, --fine")
    settings = settings_or_exit()
    with operator_errors():
        story = asyncio.run(_story(settings, institution, patron, fine))
    require([*story.fines, *story.entries])
    show([_fine(one) for one in story.fines], as_json, "the fine is not known")
    show([_entry(one) for one in story.entries], as_json, "nothing happened")


async def _story(
    settings: Settings, institution: str, patron: str | None, fine: str | None
) -> Story:
    async with (
        database(settings) as pool,
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        if patron is not None:
            return await history.story_of_patron(connection, institution, patron)
        assert fine is not None
        return await history.story_of_fine(connection, institution, fine)


def _fine(row: asyncpg.Record) -> Row:
    return {"what": "fine", **_printed(row, ("amount", "remaining", "outstanding"))}


def _printed(row: asyncpg.Record, amounts: tuple[str, ...]) -> dict[str, object]:
    """A row of a view, its amounts with the currency's decimals."""
    found = dict(row.items())
    return found | {name: money(found[name], found["currency"]) for name in amounts}


_AMOUNTS = ("amount", "active_change", "transferred_change", "remaining", "outstanding")


def _entry(one: Entry) -> Row:
    row: dict[str, object] = {
        "what": one.what.value,
        "recorded_at": one.recorded_at,
        "occurred_at": one.occurred_at,
        "fine_id": one.fine_id,
        "kind": one.kind,
        "text": one.text,
        "reference": one.reference,
        "status": one.fine_status,
        "currency": one.currency,
    }
    minor: dict[str, int | None] = {name: getattr(one, name) for name in _AMOUNTS}
    if one.currency is not None:
        row |= {name: money(value, one.currency) for name, value in minor.items()}
    return row


@batches.command("list")
def list_batches(
    institution: InstitutionOption = None,
    profile: Annotated[str | None, typer.Option("--profile", help="Code of a profile.")] = None,
    state: Annotated[
        BatchState | None, typer.Option("--state", help="Only those in this state.")
    ] = None,
    limit: LimitOption = 100,
    as_json: JsonOption = False,
) -> None:
    """Batches, newest first. Published: the broker has it; then what the bursar answered.

    Sealed: it waits for the broker. Quarantined: the broker refused it, see `quarantined list`.
    """
    settings = settings_or_exit()
    with operator_errors():
        rows = asyncio.run(_batches(settings, institution, profile, state, limit))
    show([_batch(row, as_json=as_json) for row in rows], as_json, "nothing was exported")


@batches.command("show")
def show_batch(
    profile: Annotated[str, typer.Option("--profile", help="Code of a profile.")],
    number: Annotated[int, typer.Option("--batch", min=1, help="Number of the batch.")],
    institution: Annotated[
        str | None,
        typer.Option("--institution", help="Its id, where several have had such a profile."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """One batch, its lines, and what became of each."""
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
    show_one({**head, **_batch(row, as_json=True), "responses": answers, "became": became}, as_json)
    show([_line(line, as_json) for line in lines], as_json, "the batch is empty")


def _answer(row: asyncpg.Record) -> str:
    """Who said what of how many lines, and whether it counted."""
    said = row["outcome"]  # None: older versions did not keep it
    if said is not None and row["lines"] is not None:
        said = f"{said} ({row['lines']} {'line' if row['lines'] == 1 else 'lines'})"
    counted = row["state"] if row["reason"] is None else f"{row['state']}: {row['reason']}"
    parts = (row["response_id"], said, counted)
    return f"{row['source']}: {', '.join(part for part in parts if part is not None)}"


async def _batches(
    settings: Settings,
    institution: str | None,
    profile: str | None,
    state: BatchState | None,
    limit: int,
) -> list[asyncpg.Record]:
    async with database(settings) as pool, pool.acquire() as connection:
        return await reports.batches(connection, institution, profile, state, limit)


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


def _batch(row: asyncpg.Record, *, as_json: bool) -> Row:
    """Everything for programs; for a list on a terminal without what is too wide."""
    found = _printed(row, ("total",))
    wide = () if as_json else ("run_id", "sha256", "cutoff", "export_number")
    return {name: value for name, value in found.items() if name not in wide}


def _line(row: asyncpg.Record, as_json: bool) -> Row:
    found = _printed(row, ("amount", "outstanding", "paid", "written_off"))
    known = () if not as_json else ("institution_id", "profile", "batch_number")
    names = (
        *known,
        "bursar_transaction_id",
        "fine_id",
        "patron_id",
        "amount",
        "currency",
        "state",
        "refused_reason",
        "fine_status",
        "outstanding",
        "paid",
        "written_off",
    )
    head = {"what": "line"} if as_json else {}
    return {**head, **{name: found[name] for name in names}, "became": reports.became(row)}
