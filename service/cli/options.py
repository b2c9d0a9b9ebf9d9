"""Options that several commands take."""

from typing import Annotated

import typer

InstitutionOption = Annotated[
    str | None, typer.Option("--institution", help="Id of the institution.")
]
WideOption = Annotated[bool, typer.Option("--wide", help="All columns, and texts in full.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines instead of a table.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="Rows at most.")]
WhyOption = Annotated[str, typer.Option("--reason", help="Why; kept with the decision.")]
OperatorOption = Annotated[
    str | None, typer.Option("--operator", help="Who decides; the system's user unless told.")
]
AllOption = Annotated[bool, typer.Option("--all", help="All that the other options let through.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask before several are decided.")]
SourceOption = Annotated[str | None, typer.Option("--source", help="The sending system's code.")]
IdOption = Annotated[
    str | None,
    typer.Option("--id", help="Its own id: payment_id, change_id, response_id, fine_id."),
]
TopicOption = Annotated[str | None, typer.Option("--topic", help="The topic the record came from.")]
PartitionOption = Annotated[int | None, typer.Option("--partition", min=0, help="Its partition.")]
OffsetOption = Annotated[int | None, typer.Option("--offset", min=0, help="Its offset.")]
