"""`bursar-bridge restore-check`: is this database older than Kafka, and what was found."""

from typing import Annotated

import typer

from ..options import JsonOption, OperatorOption, WhyOption

application = typer.Typer(
    help="Whether an older database was restored under Kafka. Exit code 3: it was.",
    no_args_is_help=True,
)


@application.command("show")
def show_check(as_json: JsonOption = False) -> None:
    """What stopped the service, and what the check finds now; nothing is changed."""
    from .. import restore_check

    restore_check.show_check(as_json)


@application.command("clear")
def clear(
    reason: WhyOption,
    operator: OperatorOption = None,
    accept_existing_topics: Annotated[
        bool,
        typer.Option(
            "--accept-existing-topics",
            help="For a new database whose output topics hold records of another one: begin "
            "behind them. Their readers will see batch numbers and sequences begin again at 1.",
        ),
    ] = False,
    accept_foreign_records: Annotated[
        bool,
        typer.Option(
            "--accept-foreign-records",
            help="Pass over records in the output topics that another program wrote: they do not "
            "carry this service's ce_type.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Let the service start again; refused as long as the check finds anything."""
    from .. import restore_check

    restore_check.clear(reason, operator, accept_existing_topics, accept_foreign_records, as_json)


@application.command("billed")
def show_billed(
    unknown: Annotated[
        bool, typer.Option("--unknown", help="Only batches that this database does not know.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The manifests as JSON lines, with each line of a batch.")
    ] = False,
) -> None:
    """What was billed, by the topic of manifests, and whether this database knows of it."""
    from .. import restore_check

    restore_check.show_billed(unknown, as_json)
