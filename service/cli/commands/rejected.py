"""`bursar-bridge rejected`: refused records, and what a person decides about them."""

from typing import Annotated

import typer

from ...core.words import Reason, RejectedState
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

application = typer.Typer(help="Refused records; replay or discard them.", no_args_is_help=True)
BecauseOption = Annotated[
    Reason | None, typer.Option("--because", help="The reason they were rejected for.")
]
OldBecauseOption = Annotated[
    Reason | None,
    typer.Option("--reason", hidden=True, help="The former name of --because in this list."),
]


@application.command("list")
def list_rejected(
    institution: InstitutionOption = None,
    because: BecauseOption = None,
    topic: TopicOption = None,
    state: Annotated[
        RejectedState | None, typer.Option("--state", help="Only those in this state.")
    ] = None,
    source: SourceOption = None,
    own_id: IdOption = None,
    limit: LimitOption = 100,
    wide: WideOption = False,
    as_json: JsonOption = False,
    old_because: OldBecauseOption = None,
) -> None:
    """What was refused, oldest first; without the records' bytes."""
    from .. import rejected

    if old_because is not None:
        because = rejected.renamed_filter(because, old_because)
    rejected.list_rejected(institution, because, topic, state, source, own_id, limit, wide, as_json)


@application.command("show")
def show_rejected(
    institution: InstitutionOption = None,
    source: SourceOption = None,
    own_id: IdOption = None,
    topic: TopicOption = None,
    partition: PartitionOption = None,
    offset: OffsetOption = None,
    value: Annotated[
        bool, typer.Option("--value", help="Also the record's bytes: personal data.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Refused records of one identity or place, and what was decided about them."""
    from .. import rejected

    rejected.show_rejected(institution, source, own_id, topic, partition, offset, value, as_json)


@application.command("replay")
def replay(
    reason: WhyOption,
    institution: InstitutionOption = None,
    source: SourceOption = None,
    own_id: IdOption = None,
    topic: TopicOption = None,
    partition: PartitionOption = None,
    offset: OffsetOption = None,
    every: AllOption = False,
    because: BecauseOption = None,
    yes: YesOption = False,
    operator: OperatorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decide records anew, under their own identity; what is refused again stays as it is."""
    from .. import rejected

    rejected.replay(
        reason,
        institution,
        source,
        own_id,
        topic,
        partition,
        offset,
        every,
        because,
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
    topic: TopicOption = None,
    partition: PartitionOption = None,
    offset: OffsetOption = None,
    every: AllOption = False,
    because: BecauseOption = None,
    yes: YesOption = False,
    operator: OperatorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Nothing more is to be done about these records; they stay on record."""
    from .. import rejected

    rejected.discard(
        reason,
        institution,
        source,
        own_id,
        topic,
        partition,
        offset,
        every,
        because,
        yes,
        operator,
        as_json,
    )
