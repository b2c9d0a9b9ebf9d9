"""`bursar-bridge parked`: records that wait, and what a person decides about them."""

from typing import Annotated

import typer

from ...core.words import Wait
from ..options import (
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
)

application = typer.Typer(
    help="Records that wait for something; release or discard them.", no_args_is_help=True
)
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
    source: SourceOption = None,
    own_id: IdOption = None,
    fine: Annotated[
        str | None, typer.Option("--fine", help="Only what waits for this fine_id.")
    ] = None,
    limit: LimitOption = 100,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """What waits, oldest first."""
    from .. import parked

    parked.list_parked(institution, wait, older_than, source, own_id, fine, limit, wide, as_json)


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
    """One record that waits, and what was decided about it before.

    Of an over-payment also its sums, and what release and discard would do.
    """
    from .. import parked

    parked.show_parked(
        institution, source, own_id, record, topic, partition, offset, as_json, value
    )


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
    from .. import parked

    parked.release(
        reason,
        institution,
        source,
        own_id,
        record,
        topic,
        partition,
        offset,
        every,
        wait,
        older_than,
        yes,
        operator,
        as_json,
    )


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
    from .. import parked

    parked.discard(
        reason,
        institution,
        source,
        own_id,
        record,
        topic,
        partition,
        offset,
        every,
        wait,
        older_than,
        yes,
        operator,
        as_json,
    )
