"""The work of `bursar-bridge rejected`: shows rejected records, and carries out operators'
decisions to replay or discard them.
"""

from ..apply.operator_actions import actions_on
from ..core.words import Reason, RejectedState
from ..database.ledger_read import LedgerReader
from ..database.session import Connection
from ..messages.decode import parse
from ..operations import rejected
from ..operations.conflicts import differences
from ..operations.names import Names, envelope_in
from ..operations.rejected import RejectedFilter, RejectedRecord
from .commands.options import BulkOptions, DecisionOptions, ListOptions, RecordOptions
from .decisions import (
    Decision,
    action_rows,
    decide,
    filter_of,
    require_no_record,
    require_record,
    require_topic,
)
from .errors import complain, end_without, usage_error
from .lists import Listing, Row, identifier, number, place, sentence, text, word
from .session import read_database
from .tables import show, show_card
from .texts import removed_after

KIND = "rejected record"
REJECTED = Listing(
    "nothing is rejected",
    (
        identifier("id"),
        word("reason"),
        word("state"),
        word("recorded_at"),
        identifier("institution_id"),
        identifier("source"),
        *place(unless="id"),
        sentence("detail"),
        number("size_bytes", wide=True),
        text("bytes", wide=True),
    ),
    kind=KIND,
)
SEVERAL = "--source, --because, or a place: several records are meant, say which"


def list_rejected(
    options: ListOptions,
    institution: str | None,
    because: Reason | None,
    topic: str | None,
    state: RejectedState | None,
    source: str | None,
    record_id: str | None,
    former_because: Reason | None,
) -> None:
    """Lists rejected records; `former_because` is the value of `--reason`, an older name of the
    option `--because`.
    """
    if former_because is not None:
        if because is not None:
            raise usage_error("--because, --reason: are the same here, --reason is the former name")
        complain("--reason: is called --because in this list")
    if record_id is not None and institution is None:
        raise usage_error("--institution: must be given with --id")
    if source is not None and record_id is None:
        raise usage_error("--id: must be given with --source")
    require_topic(topic)
    selected = RejectedFilter(
        institution_id=institution,
        reason=because or former_because,
        topic=topic,
        state=state,
        source=source,
        id=record_id,
        limit=options.limit,
    )
    rows = read_database(lambda connection: _listed(connection, selected))
    show(REJECTED, rows, options.as_json, wide=options.wide)


def show_rejected(selected: RecordOptions, value: bool, as_json: bool) -> None:
    """Shows the rejected records that the operator names by institution and id, or by topic,
    partition and offset, with earlier decisions about each.
    """
    require_record(selected, has_all=False)
    meant = filter_of(selected, RejectedFilter())
    rows = read_database(lambda connection: _details(connection, meant, value))
    if not rows:
        end_without(KIND)
    for row in rows:
        show_card(row, as_json)


def replay(
    decision: DecisionOptions, selected: RecordOptions, bulk: BulkOptions, because: Reason | None
) -> None:
    """Tries to apply the selected rejected records once more."""
    _decide("Replay", rejected.replay, decision, selected, bulk, because)


def discard(
    decision: DecisionOptions, selected: RecordOptions, bulk: BulkOptions, because: Reason | None
) -> None:
    """Marks the selected rejected records as discarded, because nothing more is to be done about
    them.
    """
    _decide("Discard", rejected.discard, decision, selected, bulk, because)


def _decide(
    verb: str,
    decision: Decision[RejectedRecord],
    options: DecisionOptions,
    selected: RecordOptions,
    bulk: BulkOptions,
    because: Reason | None,
) -> None:
    if bulk.every:
        require_no_record(selected, "--institution", "--topic")
    else:
        require_record(selected)
    state = RejectedState.OPEN if bulk.every else None
    meant = filter_of(selected, RejectedFilter(reason=because, state=state))
    decide(
        verb,
        KIND,
        lambda connection: rejected.find(connection, meant),
        decision,
        options,
        bulk,
        ambiguous=SEVERAL,
        named=selected,
    )


async def _listed(connection: Connection, selected: RejectedFilter) -> list[Row]:
    records = await rejected.find(connection, selected)
    names_of_records = await rejected.names_of(connection, records)
    return [_row(record, names) for record, names in zip(records, names_of_records, strict=True)]


async def _details(connection: Connection, meant: RejectedFilter, value: bool) -> list[Row]:
    rows: list[Row] = []
    records = await rejected.find(connection, meant)
    for record, names in zip(records, await rejected.names_of(connection, records), strict=True):
        origin = await rejected.origin_of(connection, record)
        row = dict(_row(record, names))
        if origin is not None:
            row["envelope"] = envelope_in(origin)
            if record.reason.endswith("_conflict"):
                row["differs_in"] = await differences(connection, LedgerReader(parse), origin)
        row["decisions"] = action_rows(await actions_on(connection, record.subject))
        if value and origin is not None:
            row["value"] = (origin.value or b"").decode(errors="replace")
        rows.append(row)
    return rows


def _row(record: RejectedRecord, names: Names | None) -> Row:
    """`names` is the identity that the record claims; only its ids are shown."""
    return {
        "institution_id": record.institution_id,
        "source": names and names.source,
        "id": names and names.id,
        "reason": record.reason.value,
        "detail": record.detail,
        "state": record.state.value,
        "size_bytes": record.size_bytes,
        "bytes": removed_after(record.removed_after_days),
        "recorded_at": record.recorded_at,
        **record.place.subject,
    }
