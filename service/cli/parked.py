"""`bursar-bridge parked`: records that wait, and what a person decides about them."""

import asyncio
from typing import Annotated

import typer

from service.cli.decisions import Asked, decide
from service.cli.errors import operator_errors, settings_or_exit
from service.cli.lists import Listing, Row, identifier, place, text, word
from service.cli.shown import (
    AllOption,
    IdOption,
    InstitutionOption,
    JsonOption,
    LimitOption,
    OffsetOption,
    OperatorOption,
    PartitionOption,
    SourceOption,
    TopicOption,
    WhyOption,
    WideOption,
    YesOption,
    action_rows,
    age,
    database,
    misuse,
    one_way,
    require,
    said,
    seconds_of,
)
from service.cli.tables import show, show_one
from service.core.words import Wait
from service.settings import Settings
from service.upkeep import parked
from service.upkeep.audit import Action, Place, actions_on
from service.upkeep.names import names_in
from service.upkeep.parked import ParkedFilter, ParkedRecord

application = typer.Typer(
    help="Records that wait for something; release or discard them.", no_args_is_help=True
)

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

WaitOption = Annotated[Wait | None, typer.Option("--wait", help="What they wait for.")]
OlderOption = Annotated[
    str | None, typer.Option("--older-than", help="Parked longer than an age: 90s, 45m, 12h, 3d.")
]
RecordOption = Annotated[
    str | None, typer.Option("--record", help="payment or change, where both have that id.")
]


@application.command("list")
def list_parked(
    institution: InstitutionOption = None,
    wait: WaitOption = None,
    older_than: OlderOption = None,
    limit: LimitOption = 100,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """What waits, oldest first."""
    settings = settings_or_exit()
    wanted = ParkedFilter(institution, wait, seconds_of(older_than), limit=limit)
    with operator_errors():
        found = asyncio.run(_find(settings, wanted))
    show(PARKED, [_row(record) for record in found], as_json, wide=wide)


@application.command("show")
def show_parked(
    institution: InstitutionOption = None,
    source: SourceOption = None,
    own_id: IdOption = None,
    record: RecordOption = None,
    topic: TopicOption = None,
    partition: PartitionOption = None,
    offset: OffsetOption = None,
    as_json: JsonOption = False,
    value: Annotated[
        bool, typer.Option("--value", help="Also the record's bytes: personal data.")
    ] = False,
) -> None:
    """One record that waits, and what was decided about it before."""
    wanted = _one(institution, source, own_id, record, topic, partition, offset)
    settings = settings_or_exit()
    with operator_errors():
        found = asyncio.run(_find_with_actions(settings, wanted))
    require(found)
    for one, actions in found:
        row = {**_row(one), "decisions": action_rows(actions)}
        if value:
            row["value"] = (one.origin.value or b"").decode(errors="replace")
        show_one(row, as_json)


@application.command("release")
def release(
    reason: WhyOption,
    institution: InstitutionOption = None,
    source: SourceOption = None,
    own_id: IdOption = None,
    record: RecordOption = None,
    topic: TopicOption = None,
    partition: PartitionOption = None,
    offset: OffsetOption = None,
    every: AllOption = False,
    wait: WaitOption = None,
    older_than: OlderOption = None,
    yes: YesOption = False,
    operator: OperatorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take what is held for its excess, with a credit; try anything else again."""
    wanted = _wanted(
        institution, source, own_id, record, topic, partition, offset, every, wait, older_than
    )
    asked = Asked("Release parked records:", SEVERAL, said(reason, operator), every, yes, as_json)
    decide(asked, lambda settings: _find(settings, wanted), parked.release)


@application.command("discard")
def discard(
    reason: WhyOption,
    institution: InstitutionOption = None,
    source: SourceOption = None,
    own_id: IdOption = None,
    record: RecordOption = None,
    topic: TopicOption = None,
    partition: PartitionOption = None,
    offset: OffsetOption = None,
    every: AllOption = False,
    wait: WaitOption = None,
    older_than: OlderOption = None,
    yes: YesOption = False,
    operator: OperatorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give records up: they are rejected as `discarded`, with their bytes."""
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
    return ParkedFilter(institution, wait, seconds_of(older_than), record=record)


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
    place = None
    if topic is not None and partition is not None and offset is not None:
        place = Place(topic, partition, offset)
    return ParkedFilter(institution, source=source, id=own_id, record=record, place=place)


async def _find(settings: Settings, wanted: ParkedFilter) -> list[ParkedRecord]:
    async with database(settings) as pool, pool.acquire() as connection:
        return await parked.find(connection, wanted)


async def _find_with_actions(
    settings: Settings, wanted: ParkedFilter
) -> list[tuple[ParkedRecord, list[Action]]]:
    async with database(settings) as pool, pool.acquire() as connection:
        found = await parked.find(connection, wanted)
        return [(one, list(await actions_on(connection, one.subject))) for one in found]


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
