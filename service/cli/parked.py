"""`bursar-bridge parked`: records that wait, and what a person decides about them."""

from collections.abc import Sequence

from ..apply.operator_actions import Action, actions_on
from ..core.words import Wait
from ..database.ledger_read import LedgerReader
from ..database.session import Connection
from ..messages.decode import parse
from ..operations import parked
from ..operations.names import names_in
from ..operations.overpaid import Overpaid, overpaid
from ..operations.parked import ParkedFilter, ParkedRecord
from .commands.options import BulkOptions, DecisionOptions, ListOptions, RecordOptions
from .commands.records import ParkedOptions
from .decisions import (
    Decision,
    action_rows,
    decide,
    filter_of,
    require_no_record,
    require_record,
)
from .errors import end_without, usage_error
from .lists import Listing, Row, identifier, place, text, word
from .session import read_database
from .tables import show, show_card
from .texts import age, money, parse_age

KIND = "parked record"
PARKED = Listing(
    "nothing is parked",
    (
        identifier("id"),
        word("wait"),
        word("age"),
        identifier("institution_id"),
        identifier("source"),
        identifier("fine_id"),
        *place(unless="id"),
        text("error"),
        word("record", wide=True),
        word("kind", wide=True),
        identifier("reverses", wide=True),
        identifier("bursar_transaction_id", wide=True),
        word("recorded_at", wide=True),
    ),
    kind=KIND,
)
SEVERAL = "--source, --record: several have this id, say which"


def list_parked(
    options: ListOptions,
    institution: str | None,
    wait: Wait | None,
    older_than: str | None,
    source: str | None,
    record_id: str | None,
    fine: str | None,
) -> None:
    """Lists the parked records that the options select."""
    selected = ParkedFilter(
        institution_id=institution,
        wait=wait,
        older_than_seconds=parse_age(older_than),
        source=source,
        id=record_id,
        limit=options.limit,
        fine_id=fine,
    )
    records = read_database(lambda connection: parked.find(connection, selected))
    show(PARKED, [_row(record) for record in records], options.as_json, wide=options.wide)


def show_parked(selected: RecordOptions, record: str | None, value: bool, as_json: bool) -> None:
    """Shows the records of one identity or place, with what was decided about each."""
    require_record(selected, has_all=False)
    meant = filter_of(selected, ParkedFilter(record=record))
    details = read_database(lambda connection: _details(connection, meant))
    if not details:
        end_without(KIND)
    for item, excess, actions in details:
        sums = {} if excess is None else _sums(excess)
        row = {**_row(item), **sums, "decisions": action_rows(actions)}
        if value:
            row["value"] = (item.origin.value or b"").decode(errors="replace")
        show_card(row, as_json)


def release(
    decision: DecisionOptions, selected: RecordOptions, options: ParkedOptions, bulk: BulkOptions
) -> None:
    """Applies what is held for its excess, and tries anything else again."""
    _decide("Release", parked.release, decision, selected, options, bulk)


def discard(
    decision: DecisionOptions, selected: RecordOptions, options: ParkedOptions, bulk: BulkOptions
) -> None:
    """Gives records up: they are rejected as `discarded`."""
    _decide("Discard", parked.discard, decision, selected, options, bulk)


def _decide(
    verb: str,
    decision: Decision[ParkedRecord],
    options: DecisionOptions,
    selected: RecordOptions,
    filters: ParkedOptions,
    bulk: BulkOptions,
) -> None:
    if bulk.every:
        require_no_record(selected, "--institution")
    elif filters.wait is not None or filters.older_than is not None:
        raise usage_error("--wait, --older-than: only with --all")
    else:
        require_record(selected)
    more = ParkedFilter(
        wait=filters.wait,
        older_than_seconds=parse_age(filters.older_than),
        record=filters.record,
    )
    meant = filter_of(selected, more)
    decide(
        verb,
        KIND,
        lambda connection: parked.find(connection, meant),
        decision,
        options,
        bulk,
        ambiguous=SEVERAL,
        named=selected,
    )


async def _details(
    connection: Connection, meant: ParkedFilter
) -> list[tuple[ParkedRecord, Overpaid | None, Sequence[Action]]]:
    return [
        (
            record,
            await overpaid(connection, LedgerReader(parse), record),
            await actions_on(connection, record.subject),
        )
        for record in await parked.find(connection, meant)
    ]


def _sums(excess: Overpaid) -> Row:
    return {
        "amount": money(excess.amount, excess.currency),
        "outstanding": money(excess.outstanding, excess.currency),
        "excess": money(excess.excess, excess.currency),
        "currency": excess.currency,
        "held_because": excess.because,
        "release_would": excess.release,
        "discard_would": excess.discard,
    }


def _row(record: ParkedRecord) -> Row:
    names = names_in(record.origin.value)  # a reversal is recorded as a payment
    return {
        "institution_id": record.institution_id,
        "record": record.record,
        "kind": names and names.kind,
        "source": record.source,
        "id": record.id,
        "wait": record.wait.value,
        "fine_id": record.fine_id,
        "reverses": record.original,
        "bursar_transaction_id": record.bursar_transaction_id,
        "error": record.error,
        "age": age(record.age_seconds),
        "recorded_at": record.recorded_at,
        **record.place.subject,
    }
