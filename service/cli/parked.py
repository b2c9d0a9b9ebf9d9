"""The work of `bursar-bridge parked`: shows parked records, and carries out operators' decisions to
release or discard them.
"""

from collections.abc import Sequence

from ..apply.applier import Applier
from ..apply.operator_actions import Action, DecisionResult, Justification, actions_on
from ..core.words import Wait
from ..database.ledger_read import LedgerReader
from ..database.session import Connection
from ..messages.decode import parse
from ..operations import parked
from ..operations.names import names_in
from ..operations.overpaid import Overpaid, overpaid
from ..operations.parked_records import ParkedFilter, ParkedRecord
from ..operations.parked_sums import ParkedSum, allocations_of, parked_sum
from .commands.options import BulkOptions, DecisionOptions, ListOptions, RecordOptions
from .commands.records import ParkedOptions, ReleaseOptions
from .decisions import (
    Decision,
    action_rows,
    decide,
    filter_of,
    require_no_record,
    require_record,
)
from .errors import end_without, usage_error
from .lists import Listing, Row, identifier, number, place, text, word
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
        identifier("patron_id"),
        number("amount"),
        word("currency"),
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
    """Lists the parked records that the options of `parked list` select, the oldest first."""
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
    """Shows the parked records that the operator names by institution and id, or by topic,
    partition and offset, with earlier decisions about each.
    """
    require_record(selected, has_all=False)
    meant = filter_of(selected, ParkedFilter(record=record))
    details = read_database(lambda connection: _details(connection, meant))
    if not details:
        end_without(KIND)
    for item, held, actions in details:
        sums = {} if held is None else _amounts(held)
        row = {**_row(item), **sums, "decisions": action_rows(actions)}
        if value:
            row["value"] = (item.origin.value or b"").decode(errors="replace")
        show_card(row, as_json)


def release(
    decision: DecisionOptions, selected: RecordOptions, options: ReleaseOptions, bulk: BulkOptions
) -> None:
    """Applies parked payments that are held because they pay more than is outstanding, and tries
    other parked records again. A payment that names only a patron pays the fines that `--fine`
    names.
    """
    named = tuple(map(_named_fine, options.fine or ()))
    if named and bulk.every:
        raise usage_error("--fine: not together with --all")

    async def released(applier: Applier, item: ParkedRecord, why: Justification) -> DecisionResult:
        return await parked.release(applier, item, why, allocations_of(item, named))

    _decide("Release", released, decision, selected, options, bulk)


def _named_fine(text: str) -> tuple[str, str]:
    """The fine id and the amount of an option. An id may have an equals sign, an amount has none.

    Ends the command with 2 for another form.
    """
    fine_id, sign, amount = text.rpartition("=")
    if not sign or not fine_id or not amount:
        raise usage_error("--fine: must be a fine_id, an equals sign and an amount: 4711=12.50")
    return fine_id, amount


def discard(
    decision: DecisionOptions, selected: RecordOptions, options: ParkedOptions, bulk: BulkOptions
) -> None:
    """Gives parked records up: they become rejected records with the reason `discarded`."""
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
) -> list[tuple[ParkedRecord, Overpaid | ParkedSum | None, Sequence[Action]]]:
    store = LedgerReader(parse)
    return [
        (
            record,
            await parked_sum(connection, store, record)
            or await overpaid(connection, store, record),
            await actions_on(connection, record.subject),
        )
        for record in await parked.find(connection, meant)
    ]


def _amounts(held: Overpaid | ParkedSum) -> Row:
    return _of_sum(held) if isinstance(held, ParkedSum) else _of_excess(held)


def _of_sum(held: ParkedSum) -> Row:
    currency = held.account.currency
    return {
        "outstanding": money(held.outstanding, currency),
        "held_because": held.because,
        "release_would": held.release,
        "discard_would": held.discard,
        "fines": [
            {
                "fine_id": fine.facts.fine_id,
                "bursar_transaction_id": fine.bursar_transaction_id,
                "outstanding": money(fine.outstanding, currency),
            }
            for fine in held.debits
        ],
    }


def _of_excess(excess: Overpaid) -> Row:
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
        "patron_id": record.patron_id,
        "amount": money(record.amount, record.currency),
        "currency": record.currency,
        "reverses": record.original,
        "bursar_transaction_id": record.bursar_transaction_id,
        "error": record.error,
        "age": age(record.age_seconds),
        "recorded_at": record.recorded_at,
        **record.place.subject,
    }
