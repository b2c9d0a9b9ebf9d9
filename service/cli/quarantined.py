"""The work of `bursar-bridge quarantined`: shows output records that the Kafka broker refused, and
queues them again when an operator releases them.
"""

import re

from ..apply.operator_actions import actions_on
from ..database.quarantine import QuarantineId
from ..database.session import Connection
from ..kafka.topics import OUTPUTS
from ..operations import quarantined
from ..operations.quarantined import QuarantinedRecord, QuarantineFilter
from ..runtime.problems import OperatorError
from .commands.options import BulkOptions, DecisionOptions, ListOptions
from .decisions import action_rows, decide, require_topic
from .errors import usage_error
from .lists import Listing, Row, identifier, number, text, word
from .session import read_database
from .tables import show, show_card
from .texts import age

KIND = "quarantined record"
# Both numbers fit the columns of the table.
_ID = re.compile(r"([0-9]{1,18})/([0-9]{1,9})", re.ASCII)
QUARANTINED = Listing(
    "nothing is in quarantine",
    (
        identifier("id"),
        identifier("topic"),
        number("size_bytes"),
        word("age"),
        text("reason"),
        identifier("key"),
        identifier("ce_id", wide=True),
    ),
    kind=KIND,
)


def list_quarantined(options: ListOptions, topic: str | None) -> None:
    """Lists the records in quarantine for one topic or for all, in the order in which they were
    queued.
    """
    require_topic(topic, OUTPUTS)
    selected = QuarantineFilter(topic=topic, limit=options.limit)
    records = read_database(lambda connection: _find(connection, selected))
    show(QUARANTINED, [_row(record) for record in records], options.as_json, wide=options.wide)


def show_quarantined(record_id: str, value: bool, as_json: bool) -> None:
    """Shows a record in quarantine with its headers, and operators' earlier decisions about it."""
    meant = QuarantineFilter(_id(record_id))
    for row in read_database(lambda connection: _details(connection, meant, value)):
        show_card(row, as_json)


def release(
    decision: DecisionOptions, bulk: BulkOptions, record_id: str | None, topic: str | None
) -> None:
    """Puts the selected records of the quarantine into the outbox again, unchanged, so that the
    service sends them once more.
    """
    if bulk.every == (record_id is not None):
        raise usage_error("name one of --id, --all")
    if topic is not None and not bulk.every:
        raise usage_error("--topic: only with --all")
    require_topic(topic, OUTPUTS)
    meant = QuarantineFilter(None if record_id is None else _id(record_id), topic)
    decide(
        "Release",
        KIND,
        lambda connection: _find(connection, meant),
        quarantined.release,
        decision,
        bulk,
    )


def _id(text: str) -> QuarantineId:
    numbers = _ID.fullmatch(text.strip())
    if numbers is None:
        raise usage_error("--id: must be an id as `quarantined list` shows it, such as 17/0")
    return QuarantineId(int(numbers[1]), int(numbers[2]))


async def _find(connection: Connection, selected: QuarantineFilter) -> list[QuarantinedRecord]:
    """Raises OperatorError for an id that is not in quarantine."""
    records = await quarantined.find(connection, selected)
    if not records and selected.id is not None:
        copy = await quarantined.queued_as(connection, selected.id)
        more = "" if copy is None else f" any more: it was queued again as {copy}"
        raise OperatorError(f"{selected.id} is not in quarantine{more}")
    return records


async def _details(connection: Connection, meant: QuarantineFilter, value: bool) -> list[Row]:
    rows: list[Row] = []
    for record in await _find(connection, meant):
        payload = await quarantined.value_of(connection, record.id)
        row = {
            **_row(record),
            **await quarantined.about(connection, record, payload),
            "recorded_at": record.recorded_at,
            "headers": [f"{name}: {text}" for name, text in record.headers.items()],
            "decisions": action_rows(await actions_on(connection, record.lasting_subject)),
        }
        if value:
            row["value"] = (payload or b"").decode(errors="replace")
        rows.append(row)
    return rows


def _row(record: QuarantinedRecord) -> Row:
    return {
        "id": str(record.id),
        "topic": record.topic,
        "reason": record.reason,
        "size_bytes": record.size_bytes,
        "ce_id": record.ce_id,
        "key": None if record.key is None else record.key.decode(errors="replace"),
        "age": age(record.age_seconds),
    }
