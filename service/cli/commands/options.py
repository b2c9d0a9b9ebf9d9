"""Options that several commands have, alone and in groups."""

from dataclasses import dataclass
from typing import Annotated

import typer

InstitutionOption = Annotated[
    str | None, typer.Option("--institution", help="Id of the institution.")
]
ProfileOption = Annotated[str | None, typer.Option("--profile", help="Code of a profile.")]
WideOption = Annotated[bool, typer.Option("--wide", help="Show all columns, and texts in full.")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print a JSON object per line instead of a table.")
]
LimitOption = Annotated[
    int, typer.Option("--limit", min=1, max=1_000_000, help="Largest number of rows.")
]
SourceOption = Annotated[
    str | None, typer.Option("--source", help="Code of the system that has sent the record.")
]
RecordIdOption = Annotated[
    str | None,
    typer.Option(
        "--id", help="Id of the record: its payment_id, change_id, response_id or fine_id."
    ),
]
TopicOption = Annotated[
    str | None, typer.Option("--topic", help="The topic from which the record was read.")
]
ReasonOption = Annotated[
    str, typer.Option("--reason", help="Why this is decided; kept with the decision.")
]
OperatorOption = Annotated[
    str | None,
    typer.Option("--operator", help="Who decides; by default the user of the operating system."),
]
AllOption = Annotated[
    bool, typer.Option("--all", help="Decide about all that the other options select.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask before several are decided.")]


@dataclass(frozen=True, slots=True)
class ShowOptions:
    """How something is shown."""

    wide: WideOption = False
    as_json: JsonOption = False


@dataclass(frozen=True, slots=True)
class ListOptions(ShowOptions):
    """How a list is shown, and how many rows of it."""

    limit: LimitOption = 100


@dataclass(frozen=True, slots=True)
class DecisionOptions:
    """Who decides and why, and how the outcome is shown."""

    reason: ReasonOption
    operator: OperatorOption = None
    as_json: JsonOption = False


@dataclass(frozen=True, slots=True)
class BulkOptions:
    """Whether the command may decide about several records or fines at once, and whether it asks
    for a confirmation before.
    """

    every: AllOption = False
    yes: YesOption = False


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """Which record is meant: by its identity, or by its place in Kafka."""

    institution: InstitutionOption = None
    source: SourceOption = None
    record_id: RecordIdOption = None
    topic: TopicOption = None
    partition: Annotated[int | None, typer.Option("--partition", min=0, help="Its partition.")] = (
        None
    )
    offset: Annotated[int | None, typer.Option("--offset", min=0, help="Its offset.")] = None
