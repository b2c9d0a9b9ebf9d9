"""`bursar-bridge rejected`: refused records, and what a person decides about them."""

import asyncio

from ..apply.operator_actions import actions_on
from ..core.words import Reason, RejectedState
from ..operations import rejected
from ..operations.names import Names, names_in
from ..operations.rejected import RejectedFilter, RejectedRecord
from ..settings import Settings
from .decisions import Asked, decide
from .errors import complain, operator_errors, settings_or_exit
from .lists import Listing, Row, identifier, number, place, sentence, word
from .shown import (
    action_rows,
    database,
    misuse,
    one_way,
    require,
    said,
)
from .tables import show, show_one

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
        sentence("detail", wide=True),
        number("size_bytes", wide=True),
    ),
)
SEVERAL = "--source, --because, or a place: several records are meant, say which"


def renamed_filter(because: Reason | None, old_because: Reason) -> Reason:
    """`--reason` was the filter in lists, and is what an operator gives for a decision."""
    if because is not None:
        raise misuse("--because, --reason: are the same here, --reason is the former name")
    complain("--reason: is called --because in this list")
    return old_because


def list_rejected(
    institution: str | None,
    because: Reason | None,
    topic: str | None,
    state: RejectedState | None,
    source: str | None,
    own_id: str | None,
    limit: int,
    wide: bool,
    as_json: bool,
) -> None:
    if (own_id is not None and institution is None) or (source is not None and own_id is None):
        raise misuse("--source, --id: only together with --institution and --id")
    settings = settings_or_exit()
    wanted = RejectedFilter(
        institution_id=institution,
        reason=because,
        topic=topic,
        state=state,
        source=source,
        id=own_id,
        limit=limit,
    )
    with operator_errors():
        rows = asyncio.run(_listed(settings, wanted))
    show(REJECTED, rows, as_json, wide=wide)


def show_rejected(
    institution: str | None,
    source: str | None,
    own_id: str | None,
    topic: str | None,
    partition: int | None,
    offset: int | None,
    value: bool,
    as_json: bool,
) -> None:
    wanted = _wanted(institution, source, own_id, topic, partition, offset, False, None)
    settings = settings_or_exit()
    with operator_errors():
        rows = asyncio.run(_shown(settings, wanted, value))
    require(rows)
    for row in rows:
        show_one(row, as_json)


def replay(
    reason: str,
    institution: str | None,
    source: str | None,
    own_id: str | None,
    topic: str | None,
    partition: int | None,
    offset: int | None,
    every: bool,
    because: Reason | None,
    yes: bool,
    operator: str | None,
    as_json: bool,
) -> None:
    wanted = _wanted(institution, source, own_id, topic, partition, offset, every, because)
    asked = Asked("Replay rejected records:", SEVERAL, said(reason, operator), every, yes, as_json)
    decide(asked, lambda settings: _find(settings, wanted), rejected.replay)


def discard(
    reason: str,
    institution: str | None,
    source: str | None,
    own_id: str | None,
    topic: str | None,
    partition: int | None,
    offset: int | None,
    every: bool,
    because: Reason | None,
    yes: bool,
    operator: str | None,
    as_json: bool,
) -> None:
    wanted = _wanted(institution, source, own_id, topic, partition, offset, every, because)
    asked = Asked("Discard rejected records:", SEVERAL, said(reason, operator), every, yes, as_json)
    decide(asked, lambda settings: _find(settings, wanted), rejected.discard)


def _wanted(
    institution: str | None,
    source: str | None,
    own_id: str | None,
    topic: str | None,
    partition: int | None,
    offset: int | None,
    every: bool,
    because: Reason | None,
) -> RejectedFilter:
    if every:
        one_way((source, own_id), (partition, offset), every=True)
        return RejectedFilter(
            institution_id=institution, reason=because, topic=topic, state=RejectedState.OPEN
        )
    one_way((institution, own_id), (topic, partition, offset), every=False)
    return RejectedFilter(
        institution_id=institution,
        source=source,
        id=own_id,
        topic=topic,
        partition=partition,
        offset=offset,
        reason=because,
    )


async def _find(settings: Settings, wanted: RejectedFilter) -> list[RejectedRecord]:
    async with database(settings) as pool, pool.acquire() as connection:
        return await rejected.find(connection, wanted)


async def _listed(settings: Settings, wanted: RejectedFilter) -> list[Row]:
    async with database(settings) as pool, pool.acquire() as connection:
        found = await rejected.find(connection, wanted)
        named = await rejected.names_of(connection, found)
        return [_row(one, names) for one, names in zip(found, named, strict=True)]


async def _shown(settings: Settings, wanted: RejectedFilter, value: bool) -> list[Row]:
    async with database(settings) as pool, pool.acquire() as connection:
        found = await rejected.find(connection, wanted)
        rows: list[Row] = []
        for one in found:
            origin = await rejected.origin_of(connection, one)
            row = dict(_row(one, None if origin is None else names_in(origin.value)))
            row["decisions"] = action_rows(await actions_on(connection, one.subject))
            if value and origin is not None:
                row["value"] = (origin.value or b"").decode(errors="replace")
            rows.append(row)
        return rows


def _row(one: RejectedRecord, names: Names | None) -> Row:
    """`names`: the identity it claims; ids only."""
    return {
        "institution_id": one.institution_id,
        "source": names and names.source,
        "id": names and names.id,
        "reason": one.reason.value,
        "detail": one.detail,
        "state": one.state.value,
        "size_bytes": one.size_bytes,
        "recorded_at": one.recorded_at,
        **one.place.subject,
    }
