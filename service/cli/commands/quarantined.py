"""`bursar-bridge quarantined`: records that the broker refused, and their release."""

from typing import Annotated

import typer

from ..options import (
    AllOption,
    JsonOption,
    LimitOption,
    OperatorOption,
    WhyOption,
    WideOption,
    YesOption,
)

application = typer.Typer(
    help="Records that the broker refused for their own sake; release them.", no_args_is_help=True
)
_ID_HELP = "Its id, as the list shows it: 17/0."

OutputTopicOption = Annotated[
    str | None, typer.Option("--topic", help="The topic they are for, with its prefix or without.")
]


@application.command("list")
def list_quarantined(
    topic: OutputTopicOption = None,
    limit: LimitOption = 100,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """What is in quarantine, in the order in which it was queued; without the records' values."""
    from .. import quarantined

    quarantined.list_quarantined(topic, limit, wide, as_json)


@application.command("show")
def show_quarantined(
    record_id: Annotated[str, typer.Option("--id", help=_ID_HELP)],
    value: Annotated[
        bool, typer.Option("--value", help="Also the record's value: personal data.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """One record: what it tells of, its headers, and what was decided about it before."""
    from .. import quarantined

    quarantined.show_quarantined(record_id, value, as_json)


@application.command("release")
def release(
    reason: WhyOption,
    record_id: Annotated[str | None, typer.Option("--id", help=_ID_HELP)] = None,
    every: AllOption = False,
    topic: OutputTopicOption = None,
    yes: YesOption = False,
    operator: OperatorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Queue records again as they were. Mend the cause first: refused again, they come back."""
    from .. import quarantined

    quarantined.release(reason, record_id, every, topic, yes, operator, as_json)
