"""Options that several commands take, alone and in groups."""

from dataclasses import dataclass
from typing import Annotated

import typer

InstitutionOption = Annotated[
    str | None, typer.Option("--institution", help="Id of the institution.")
]
ProfileOption = Annotated[str | None, typer.Option("--profile", help="Code of a profile.")]
WideOption = Annotated[bool, typer.Option("--wide", help="All columns, and texts in full.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines instead of a table.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="Rows at most.")]
SourceOption = Annotated[str | None, typer.Option("--source", help="The sending system's code.")]
RecordIdOption = Annotated[
    str | None,
    typer.Option("--id", help="Its own id: payment_id, change_id, response_id, fine_id."),
]
TopicOption = Annotated[str | None, typer.Option("--topic", help="The topic the record came from.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept with the decision.")]
OperatorOption = Annotated[
    str | None, typer.Option("--operator", help="Who decides; the system's user unless told.")
]
AllOption = Annotated[bool, typer.Option("--all", help="All that the other options let through.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask before several are decided.")]


@dataclass(frozen=True, slots=True)
class ListOptions:
    """How many rows a list has, and how they are shown."""

    limit: LimitOption = 100
    wide: WideOption = False
    as_json: JsonOption = False


@dataclass(frozen=True, slots=True)
class ShowOptions:
    """How something is shown that has no limit."""

    wide: WideOption = False
    as_json: JsonOption = False


@dataclass(frozen=True, slots=True)
class DecisionOptions:
    """Who decides and why, and how the outcome is shown."""

    reason: ReasonOption
    operator: OperatorOption = None
    as_json: JsonOption = False


@dataclass(frozen=True, slots=True)
class BulkOptions:
    """Whether several things are decided at once, and whether that is asked before."""

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
