"""`parked`, `rejected`, `quarantined`: records that wait for a decision, and the decisions."""

from dataclasses import dataclass
from typing import Annotated

import typer

from ...core.words import Reason, RejectedState, Wait
from .declare import command, group
from .options import (
    BulkOptions,
    DecisionOptions,
    InstitutionOption,
    JsonOption,
    ListOptions,
    RecordIdOption,
    RecordOptions,
    SourceOption,
    TopicOption,
)

application = typer.Typer()
ValueOption = Annotated[
    bool, typer.Option("--value", help="Also the record's bytes: personal data.")
]

parked = group(application, "parked", "Records that wait for something; release or discard them.")
WaitOption = Annotated[Wait | None, typer.Option("--wait", help="Only records that wait for this.")]
OlderOption = Annotated[
    str | None, typer.Option("--older-than", help="Parked longer than an age: 90s, 45m, 12h, 3d.")
]
KindOption = Annotated[
    str | None, typer.Option("--record", help="payment or change, where both have that id.")
]


FinesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fine",
        metavar="ID=AMOUNT",
        help="A fine that a sum without a line pays, and how much of it; may be repeated.",
    ),
]


@dataclass(frozen=True, slots=True)
class ParkedOptions:
    """Which parked records are meant; the filters are for `--all`."""

    wait: WaitOption = None
    older_than: OlderOption = None
    record: KindOption = None


@command(parked, "list", work="parked.list_parked")
def list_parked(
    *,
    institution: InstitutionOption = None,
    wait: WaitOption = None,
    older_than: OlderOption = None,
    source: SourceOption = None,
    record_id: RecordIdOption = None,
    fine: Annotated[
        str | None,
        typer.Option("--fine", help="Only records that wait for the fine with this fine_id."),
    ] = None,
    options: ListOptions,
) -> None:
    """List the records that wait, the oldest first."""


@command(parked, "show", work="parked.show_parked")
def show_parked(
    selected: RecordOptions,
    record: KindOption = None,
    value: ValueOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show a record that waits, and what was decided about it before.

    For an overpayment the command also shows its sums, and what a release and a discard would do.
    """


@dataclass(frozen=True, slots=True)
class ReleaseOptions(ParkedOptions):
    """Which parked records are meant, and which fines a sum without a line pays."""

    fine: FinesOption = None


@command(parked, "release", work="parked.release")
def release_parked(
    *,
    selected: RecordOptions,
    options: ReleaseOptions,
    bulk: BulkOptions,
    decision: DecisionOptions,
) -> None:
    """Apply payments held for their excess, which becomes a credit; try others again.

    A sum without a line pays the fines that --fine names, or the oldest ones first.
    """


@command(parked, "discard", work="parked.discard")
def discard_parked(
    *,
    selected: RecordOptions,
    options: ParkedOptions,
    bulk: BulkOptions,
    decision: DecisionOptions,
) -> None:
    """Give records up: they are rejected as `discarded`, with their bytes."""


rejected = group(application, "rejected", "Refused records; replay or discard them.")
BecauseOption = Annotated[
    Reason | None,
    typer.Option("--because", help="Only records that were rejected for this reason."),
]


@command(rejected, "list", work="rejected.list_rejected")
def list_rejected(
    *,
    institution: InstitutionOption = None,
    because: BecauseOption = None,
    topic: TopicOption = None,
    state: Annotated[
        RejectedState | None, typer.Option("--state", help="Only records or batches in this state.")
    ] = None,
    source: SourceOption = None,
    record_id: RecordIdOption = None,
    former_because: Annotated[
        Reason | None,
        typer.Option("--reason", hidden=True, help="The former name of --because in this list."),
    ] = None,
    options: ListOptions,
) -> None:
    """List rejected records without their bytes, the oldest first."""


@command(rejected, "show", work="rejected.show_rejected")
def show_rejected(
    selected: RecordOptions, value: ValueOption = False, as_json: JsonOption = False
) -> None:
    """Show the rejected records of one identity or place, and the decisions about them."""


@command(rejected, "replay", work="rejected.replay")
def replay_rejected(
    *,
    selected: RecordOptions,
    because: BecauseOption = None,
    bulk: BulkOptions,
    decision: DecisionOptions,
) -> None:
    """Decide records again; a record that is rejected again stays as it is."""


@command(rejected, "discard", work="rejected.discard")
def discard_rejected(
    *,
    selected: RecordOptions,
    because: BecauseOption = None,
    bulk: BulkOptions,
    decision: DecisionOptions,
) -> None:
    """Note that nothing more is to be done about records; they stay stored."""


quarantined = group(
    application, "quarantined", "Records that the broker refused for their own sake; release them."
)
OutputTopicOption = Annotated[
    str | None,
    typer.Option("--topic", help="Only records for this topic, named with or without its prefix."),
]
_ID_HELP = "Id of the record as the list shows it, such as 17/0."


@command(quarantined, "list", work="quarantined.list_quarantined")
def list_quarantined(
    *,
    topic: OutputTopicOption = None,
    options: ListOptions,
) -> None:
    """List the records in quarantine, without their values, in the order of queueing."""


@command(quarantined, "show", work="quarantined.show_quarantined")
def show_quarantined(
    record_id: Annotated[str, typer.Option("--id", help=_ID_HELP)],
    value: Annotated[
        bool, typer.Option("--value", help="Also the record's value: personal data.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a record in quarantine: what it is about, its headers, and past decisions."""


@command(quarantined, "release", work="quarantined.release")
def release_quarantined(
    *,
    record_id: Annotated[str | None, typer.Option("--id", help=_ID_HELP)] = None,
    topic: OutputTopicOption = None,
    bulk: BulkOptions,
    decision: DecisionOptions,
) -> None:
    """Queue records again unchanged, after the cause of the refusal was removed."""
