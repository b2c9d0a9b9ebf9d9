"""Options that several commands share: single options, and dataclasses of options that belong
together.
"""

from dataclasses import dataclass
from typing import Annotated

import typer

InstitutionOption = Annotated[
    str | None, typer.Option("--institution", help="Id of the institution.")
]
ProfileOption = Annotated[str | None, typer.Option("--profile", help="Code of a profile.")]
WideOption = Annotated[
    bool,
    typer.Option("--wide", help="Show all columns, and print long texts without cutting them."),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print a JSON object per line instead of a table.")
]
LimitOption = Annotated[
    int, typer.Option("--limit", min=1, max=1_000_000, help="Largest number of rows.")
]
SourceOption = Annotated[
    str | None,
    typer.Option("--source", help="Code of the system that has sent the record (its source)."),
]
RecordIdOption = Annotated[
    str | None,
    typer.Option(
        "--id", help="Id of the record: its payment_id, change_id, response_id or fine_id."
    ),
]
TopicOption = Annotated[
    str | None,
    typer.Option("--topic", help="The Kafka topic from which the service read the record."),
]
ReasonOption = Annotated[
    str, typer.Option("--reason", help="Why you decide so; the text is stored with the decision.")
]
OperatorOption = Annotated[
    str | None,
    typer.Option(
        "--operator",
        help="Name of the person who decides; by default the user name in the operating system.",
    ),
]
AllOption = Annotated[
    bool,
    typer.Option(
        "--all",
        help="Apply the decision to everything that the other options select, instead of "
        "to a single thing.",
    ),
]
YesOption = Annotated[
    bool,
    typer.Option("--yes", help="Carry the decision out without asking for a confirmation first."),
]


@dataclass(frozen=True, slots=True)
class ShowOptions:
    """Options that say whether a command prints a table that fits the terminal, all columns
    (`wide`), or JSON.
    """

    wide: WideOption = False
    as_json: JsonOption = False


@dataclass(frozen=True, slots=True)
class ListOptions(ShowOptions):
    """Options that say how a list is printed, and how many rows of it at most."""

    limit: LimitOption = 100


@dataclass(frozen=True, slots=True)
class DecisionOptions:
    """Options of a decision: who decides, for which reason, and whether the outcome is printed as
    JSON.
    """

    reason: ReasonOption
    operator: OperatorOption = None
    as_json: JsonOption = False


@dataclass(frozen=True, slots=True)
class BulkOptions:
    """Options that say whether a command decides about all selected records or fines at once
    (`every`), and whether it then does so without asking for a confirmation (`yes`).
    """

    every: AllOption = False
    yes: YesOption = False


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """Options that name one record: by its identity (institution, source, id), or by its topic,
    partition and offset in Kafka.
    """

    institution: InstitutionOption = None
    source: SourceOption = None
    record_id: RecordIdOption = None
    topic: TopicOption = None
    partition: Annotated[int | None, typer.Option("--partition", min=0, help="Its partition.")] = (
        None
    )
    offset: Annotated[int | None, typer.Option("--offset", min=0, help="Its offset.")] = None
