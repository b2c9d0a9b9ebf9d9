"""`bursar-bridge quarantined`: records that the broker refused, and their release."""

import asyncio
import re

from ..apply.operator_actions import actions_on
from ..database.quarantine import QuarantineId
from ..database.session import Connection
from ..operations import quarantined
from ..operations.quarantined import QuarantinedRecord, QuarantineFilter
from ..runtime.problems import OperatorError
from ..settings import Settings
from .decisions import Asked, decide
from .errors import operator_errors, settings_or_exit
from .lists import Listing, Row, identifier, number, text, word
from .shown import (
    action_rows,
    age,
    database,
    misuse,
    said,
)
from .tables import show, show_one

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
)


def list_quarantined(topic: str | None, limit: int, wide: bool, as_json: bool) -> None:
    settings = settings_or_exit()
    with operator_errors():
        records = asyncio.run(_find(settings, QuarantineFilter(topic=topic, limit=limit)))
    show(QUARANTINED, [_row(record) for record in records], as_json, wide=wide)


def show_quarantined(record_id: str, value: bool, as_json: bool) -> None:
    wanted = QuarantineFilter(_id(record_id))
    settings = settings_or_exit()
    with operator_errors():
        rows = asyncio.run(_shown(settings, wanted, value))
    for row in rows:
        show_one(row, as_json)


def release(
    reason: str,
    record_id: str | None,
    every: bool,
    topic: str | None,
    yes: bool,
    operator: str | None,
    as_json: bool,
) -> None:
    if every == (record_id is not None):
        raise misuse("name one of --id, --all")
    if topic is not None and not every:
        raise misuse("--topic: only with --all")
    wanted = QuarantineFilter(None if record_id is None else _id(record_id), topic)
    why = said(reason, operator)
    asked = Asked("Release quarantined records:", "--id: say which", why, every, yes, as_json)
    decide(asked, lambda settings: _find(settings, wanted), quarantined.release)


def _id(text: str) -> QuarantineId:
    numbers = _ID.fullmatch(text.strip())
    if numbers is None:
        raise misuse("--id: must be an id as `quarantined list` shows it, such as 17/0")
    return QuarantineId(int(numbers[1]), int(numbers[2]))


async def _find(settings: Settings, wanted: QuarantineFilter) -> list[QuarantinedRecord]:
    async with database(settings) as pool, pool.acquire() as connection:
        return await _find_on(connection, wanted)


async def _find_on(connection: Connection, wanted: QuarantineFilter) -> list[QuarantinedRecord]:
    """Raises OperatorError for an id that is not in quarantine."""
    records = await quarantined.find(connection, wanted)
    if not records and wanted.id is not None:
        copy = await quarantined.queued_as(connection, wanted.id)
        more = "" if copy is None else f" any more: it was queued again as {copy}"
        raise OperatorError(f"{wanted.id} is not in quarantine{more}")
    return records


async def _shown(settings: Settings, wanted: QuarantineFilter, value: bool) -> list[Row]:
    rows: list[Row] = []
    async with database(settings) as pool, pool.acquire() as connection:
        for record in await _find_on(connection, wanted):
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
