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
WaitOption = Annotated[Wait | None, typer.Option("--wait", help="What they wait for.")]
OlderOption = Annotated[
    str | None, typer.Option("--older-than", help="Parked longer than an age: 90s, 45m, 12h, 3d.")
]
KindOption = Annotated[
    str | None, typer.Option("--record", help="payment or change, where both have that id.")
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
        str | None, typer.Option("--fine", help="Only what waits for this fine_id.")
    ] = None,
    options: ListOptions,
) -> None:
    """What waits, oldest first."""


@command(parked, "show", work="parked.show_parked")
def show_parked(
    selected: RecordOptions,
    record: KindOption = None,
    value: ValueOption = False,
    as_json: JsonOption = False,
) -> None:
    """One record that waits, and what was decided about it before.

    Of an over-payment also its sums, and what release and discard would do.
    """


@command(parked, "release", work="parked.release")
def release_parked(
    *,
    selected: RecordOptions,
    options: ParkedOptions,
    bulk: BulkOptions,
    decision: DecisionOptions,
) -> None:
    """Take what is held for its excess, with a credit; try anything else again."""


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
    Reason | None, typer.Option("--because", help="The reason they were rejected for.")
]


@command(rejected, "list", work="rejected.list_rejected")
def list_rejected(
    *,
    institution: InstitutionOption = None,
    because: BecauseOption = None,
    topic: TopicOption = None,
    state: Annotated[
        RejectedState | None, typer.Option("--state", help="Only those in this state.")
    ] = None,
    source: SourceOption = None,
    record_id: RecordIdOption = None,
    former_because: Annotated[
        Reason | None,
        typer.Option("--reason", hidden=True, help="The former name of --because in this list."),
    ] = None,
    options: ListOptions,
) -> None:
    """What was refused, oldest first; without the records' bytes."""


@command(rejected, "show", work="rejected.show_rejected")
def show_rejected(
    selected: RecordOptions, value: ValueOption = False, as_json: JsonOption = False
) -> None:
    """Refused records of one identity or place, and what was decided about them."""


@command(rejected, "replay", work="rejected.replay")
def replay_rejected(
    *,
    selected: RecordOptions,
    because: BecauseOption = None,
    bulk: BulkOptions,
    decision: DecisionOptions,
) -> None:
    """Decide records anew, under their own identity; what is refused again stays as it is."""


@command(rejected, "discard", work="rejected.discard")
def discard_rejected(
    *,
    selected: RecordOptions,
    because: BecauseOption = None,
    bulk: BulkOptions,
    decision: DecisionOptions,
) -> None:
    """Nothing more is to be done about these records; they stay on record."""


quarantined = group(
    application, "quarantined", "Records that the broker refused for their own sake; release them."
)
OutputTopicOption = Annotated[
    str | None, typer.Option("--topic", help="The topic they are for, with its prefix or without.")
]
_ID_HELP = "Its id, as the list shows it: 17/0."


@command(quarantined, "list", work="quarantined.list_quarantined")
def list_quarantined(
    *,
    topic: OutputTopicOption = None,
    options: ListOptions,
) -> None:
    """What is in quarantine, in the order in which it was queued; without the records' values."""


@command(quarantined, "show", work="quarantined.show_quarantined")
def show_quarantined(
    record_id: Annotated[str, typer.Option("--id", help=_ID_HELP)],
    value: Annotated[
        bool, typer.Option("--value", help="Also the record's value: personal data.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """One record: what it tells of, its headers, and what was decided about it before."""


@command(quarantined, "release", work="quarantined.release")
def release_quarantined(
    *,
    record_id: Annotated[str | None, typer.Option("--id", help=_ID_HELP)] = None,
    topic: OutputTopicOption = None,
    bulk: BulkOptions,
    decision: DecisionOptions,
) -> None:
    """Queue records again as they were. Mend the cause first: refused again, they come back."""
