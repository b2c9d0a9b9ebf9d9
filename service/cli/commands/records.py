"""Declares the commands `parked`, `rejected` and `quarantined`: lists of records that were not
applied or not sent, and decisions about them.
"""

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
    bool,
    typer.Option("--value", help="Also print the content of the record, which is personal data."),
]

parked = group(application, "parked", "Records that wait for something; release or discard them.")
WaitOption = Annotated[
    Wait | None,
    typer.Option(
        "--wait",
        help="Only parked records whose column `wait` has this value, which says what they "
        "wait for.",
    ),
]
OlderOption = Annotated[
    str | None,
    typer.Option(
        "--older-than",
        help="Only records that have been parked for longer than this time, such as 90s, "
        "45m, 12h or 3d.",
    ),
]
KindOption = Annotated[
    str | None, typer.Option("--record", help="payment or change, where both have that id.")
]


FinesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fine",
        metavar="ID=AMOUNT",
        help="For a payment that names only a patron: the fine_id of a fine that it is "
        "to pay, and the amount, such as 4711=12.50; may be given several times.",
    ),
]


@dataclass(frozen=True, slots=True)
class ParkedOptions:
    """Options that select parked records; `wait` and `older_than` are allowed only with `--all`."""

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
        typer.Option(
            "--fine", help="Only parked records that wait for the fine with this fine_id."
        ),
    ] = None,
    options: ListOptions,
) -> None:
    """List the parked records, which wait for a fine, an export, a payment or a person, the oldest
    first.
    """


@command(parked, "show", work="parked.show_parked")
def show_parked(
    selected: RecordOptions,
    record: KindOption = None,
    value: ValueOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show a parked record, and what operators have decided about it before.

    For a payment of more than is outstanding, the command also shows the amount paid, the amount
    outstanding and the excess, and what `parked release` and `parked discard` would do with it.
    """


@dataclass(frozen=True, slots=True)
class ReleaseOptions(ParkedOptions):
    """Options of `parked release`: those that select parked records, and the fines that a payment
    which names only a patron is to pay.
    """

    fine: FinesOption = None


@command(parked, "release", work="parked.release")
def release_parked(
    *,
    selected: RecordOptions,
    options: ReleaseOptions,
    bulk: BulkOptions,
    decision: DecisionOptions,
) -> None:
    """Apply parked payments that are held because they pay more than is outstanding, and make a
    credit of the excess; try other parked records again.

    A payment that names only a patron pays the fines that --fine names; without --fine it pays the
    fines that were exported first.
    """


@command(parked, "discard", work="parked.discard")
def discard_parked(
    *,
    selected: RecordOptions,
    options: ParkedOptions,
    bulk: BulkOptions,
    decision: DecisionOptions,
) -> None:
    """Give parked records up: they become rejected records with the reason `discarded`, and their
    bytes are kept.
    """


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
        RejectedState | None,
        typer.Option(
            "--state",
            help="List only rejected records about which operators have not decided "
            "yet (open), which they have replayed, or which they have discarded.",
        ),
    ] = None,
    source: SourceOption = None,
    record_id: RecordIdOption = None,
    former_because: Annotated[
        Reason | None,
        typer.Option("--reason", hidden=True, help="The former name of --because in this list."),
    ] = None,
    options: ListOptions,
) -> None:
    """List rejected records without their content, the oldest first."""


@command(rejected, "show", work="rejected.show_rejected")
def show_rejected(
    selected: RecordOptions, value: ValueOption = False, as_json: JsonOption = False
) -> None:
    """Show rejected records that are named by institution and id, or by topic, partition and
    offset, with the operators' decisions about them.
    """


@command(rejected, "replay", work="rejected.replay")
def replay_rejected(
    *,
    selected: RecordOptions,
    because: BecauseOption = None,
    bulk: BulkOptions,
    decision: DecisionOptions,
) -> None:
    """Try to apply rejected records once more; a record that is rejected again stays in the list as
    it is.
    """


@command(rejected, "discard", work="rejected.discard")
def discard_rejected(
    *,
    selected: RecordOptions,
    because: BecauseOption = None,
    bulk: BulkOptions,
    decision: DecisionOptions,
) -> None:
    """Mark rejected records as discarded, because nothing more is to be done about them; the
    records stay stored.
    """


quarantined = group(
    application, "quarantined", "Records that the broker refused for their own sake; release them."
)
OutputTopicOption = Annotated[
    str | None,
    typer.Option(
        "--topic",
        help="Only records that are to be sent to this output topic, named with or without "
        "its prefix.",
    ),
]
_ID_HELP = "Id of the record as `quarantined list` shows it, such as 17/0."


@command(quarantined, "list", work="quarantined.list_quarantined")
def list_quarantined(
    *,
    topic: OutputTopicOption = None,
    options: ListOptions,
) -> None:
    """List the records in quarantine (those that the Kafka broker refused), without their values,
    in the order in which they were queued for sending.
    """


@command(quarantined, "show", work="quarantined.show_quarantined")
def show_quarantined(
    record_id: Annotated[str, typer.Option("--id", help=_ID_HELP)],
    value: Annotated[
        bool,
        typer.Option("--value", help="Also print the value of the record, which is personal data."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a record in quarantine: the batch, account or other thing that it is about, its headers,
    and the operators' earlier decisions.
    """


@command(quarantined, "release", work="quarantined.release")
def release_quarantined(
    *,
    record_id: Annotated[str | None, typer.Option("--id", help=_ID_HELP)] = None,
    topic: OutputTopicOption = None,
    bulk: BulkOptions,
    decision: DecisionOptions,
) -> None:
    """Queue records from the quarantine for sending again, unchanged; first remove the cause for
    which the broker refused them.
    """
