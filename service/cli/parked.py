"""`bursar-bridge parked`: records that wait, and what a person decides about them."""

import asyncio

from ..apply.operator_actions import Action, actions_on
from ..core.words import Wait
from ..database.ledger_read import LedgerReader
from ..messages.decode import parse
from ..operations import parked
from ..operations.names import names_in
from ..operations.overpaid import Overpaid, overpaid
from ..operations.parked import ParkedFilter, ParkedRecord
from ..settings import Settings
from .decisions import Asked, decide
from .errors import operator_errors, settings_or_exit
from .lists import Listing, Row, identifier, place, text, word
from .shown import (
    action_rows,
    age,
    database,
    misuse,
    money,
    one_way,
    require,
    said,
    seconds_of,
)
from .tables import show, show_one

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
)
SEVERAL = "--source, --record: several have this id, say which"


def list_parked(
    institution: str | None,
    wait: Wait | None,
    older_than: str | None,
    source: str | None,
    own_id: str | None,
    fine: str | None,
    limit: int,
    wide: bool,
    as_json: bool,
) -> None:
    settings = settings_or_exit()
    wanted = ParkedFilter(
        institution_id=institution,
        wait=wait,
        older_than_seconds=seconds_of(older_than),
        source=source,
        id=own_id,
        limit=limit,
        fine_id=fine,
    )
    with operator_errors():
        found = asyncio.run(_find(settings, wanted))
    show(PARKED, [_row(record) for record in found], as_json, wide=wide)


def show_parked(
    institution: str | None,
    source: str | None,
    own_id: str | None,
    record: str | None,
    topic: str | None,
    partition: int | None,
    offset: int | None,
    as_json: bool,
    value: bool,
) -> None:
    wanted = _one(institution, source, own_id, record, topic, partition, offset)
    settings = settings_or_exit()
    with operator_errors():
        found = asyncio.run(_find_with_actions(settings, wanted))
    require(found)
    for one, excess, actions in found:
        sums = {} if excess is None else _sums(excess)
        row = {**_row(one), **sums, "decisions": action_rows(actions)}
        if value:
            row["value"] = (one.origin.value or b"").decode(errors="replace")
        show_one(row, as_json)


def release(
    reason: str,
    institution: str | None,
    source: str | None,
    own_id: str | None,
    record: str | None,
    topic: str | None,
    partition: int | None,
    offset: int | None,
    every: bool,
    wait: Wait | None,
    older_than: str | None,
    yes: bool,
    operator: str | None,
    as_json: bool,
) -> None:
    wanted = _wanted(
        institution, source, own_id, record, topic, partition, offset, every, wait, older_than
    )
    asked = Asked("Release parked records:", SEVERAL, said(reason, operator), every, yes, as_json)
    decide(asked, lambda settings: _find(settings, wanted), parked.release)


def discard(
    reason: str,
    institution: str | None,
    source: str | None,
    own_id: str | None,
    record: str | None,
    topic: str | None,
    partition: int | None,
    offset: int | None,
    every: bool,
    wait: Wait | None,
    older_than: str | None,
    yes: bool,
    operator: str | None,
    as_json: bool,
) -> None:
    wanted = _wanted(
        institution, source, own_id, record, topic, partition, offset, every, wait, older_than
    )
    asked = Asked("Discard parked records:", SEVERAL, said(reason, operator), every, yes, as_json)
    decide(asked, lambda settings: _find(settings, wanted), parked.discard)


def _wanted(
    institution: str | None,
    source: str | None,
    own_id: str | None,
    record: str | None,
    topic: str | None,
    partition: int | None,
    offset: int | None,
    every: bool,
    wait: Wait | None,
    older_than: str | None,
) -> ParkedFilter:
    if not every:
        if wait is not None or older_than is not None:
            raise misuse("--wait, --older-than: only with --all")
        return _one(institution, source, own_id, record, topic, partition, offset)
    one_way((source, own_id), (topic, partition, offset), every=True)
    return ParkedFilter(
        institution_id=institution,
        wait=wait,
        older_than_seconds=seconds_of(older_than),
        record=record,
    )


def _one(
    institution: str | None,
    source: str | None,
    own_id: str | None,
    record: str | None,
    topic: str | None,
    partition: int | None,
    offset: int | None,
) -> ParkedFilter:
    """By identity, or by place."""
    one_way((institution, own_id), (topic, partition, offset), every=False)
    return ParkedFilter(
        institution_id=institution,
        source=source,
        id=own_id,
        record=record,
        topic=topic,
        partition=partition,
        offset=offset,
    )


async def _find(settings: Settings, wanted: ParkedFilter) -> list[ParkedRecord]:
    async with database(settings) as pool, pool.acquire() as connection:
        return await parked.find(connection, wanted)


async def _find_with_actions(
    settings: Settings, wanted: ParkedFilter
) -> list[tuple[ParkedRecord, Overpaid | None, list[Action]]]:
    store = LedgerReader(parse)
    async with database(settings) as pool, pool.acquire() as connection:
        return [
            (
                one,
                await overpaid(connection, store, one),
                list(await actions_on(connection, one.subject)),
            )
            for one in await parked.find(connection, wanted)
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


def _row(one: ParkedRecord) -> Row:
    names = names_in(one.origin.value)  # a reversal is recorded as a payment
    return {
        "institution_id": one.institution_id,
        "record": one.record,
        "kind": names and names.kind,
        "source": one.source,
        "id": one.id,
        "wait": one.wait.value,
        "fine_id": one.fine_id,
        "reverses": one.original,
        "bursar_transaction_id": one.bursar_transaction_id,
        "error": one.error,
        "age": age(one.age_seconds),
        "recorded_at": one.recorded_at,
        **one.place.subject,
    }
