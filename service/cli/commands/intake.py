"""Declares the commands `bursar-bridge intake list` and `intake resume`, about topics that the
service has stopped because of bad records.
"""

from typing import Annotated

import typer

from .declare import command, group
from .options import BulkOptions, DecisionOptions, InstitutionOption, ListOptions

application = typer.Typer()
intake = group(application, "intake", "Topics that bad records in a row have stopped; resume them.")
StoppedTopicOption = Annotated[
    str | None,
    typer.Option("--topic", help="Name of an input topic, with or without the topic prefix."),
]


@command(intake, "list", work="intake.list_stops")
def list_stops(
    *,
    topic: StoppedTopicOption = None,
    institution: InstitutionOption = None,
    options: ListOptions,
) -> None:
    """List the input topics that the service has stopped after many bad records in a row, for one
    institution or for all, and how many records wait for that reason.
    """


@command(intake, "resume", work="intake.resume")
def resume(
    *,
    topic: StoppedTopicOption = None,
    institution: InstitutionOption = None,
    bad_records: Annotated[
        int | None,
        typer.Option(
            "--bad-records",
            min=1,
            max=10_000_000,
            help="How many bad records in a row the service accepts after this resume "
            "before it stops the topic again.",
        ),
    ] = None,
    bulk: BulkOptions,
    decision: DecisionOptions,
) -> None:
    """Let the service apply the records of a stopped topic again, first those that wait, in the
    order in which they arrived.

    --topic with --institution resumes the topic for the institution, --topic alone for all of them
    where it is stopped as a whole; --all resumes all stops that the options select. The command
    only ends the stop; the running service then applies the records. If too many of the waiting
    records are still bad, the service stops the topic again, and the remaining records go on
    waiting.
    """
