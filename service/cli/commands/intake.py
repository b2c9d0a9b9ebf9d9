"""`bursar-bridge intake`: topics that bad records have stopped; resume them."""

from typing import Annotated

import typer

from .declare import command, group
from .options import BulkOptions, DecisionOptions, InstitutionOption, ListOptions

application = typer.Typer()
intake = group(application, "intake", "Topics that bad records in a row have stopped; resume them.")
StoppedTopicOption = Annotated[
    str | None, typer.Option("--topic", help="An input topic, with its prefix or without.")
]


@command(intake, "list", work="intake.list_stops")
def list_stops(
    *,
    topic: StoppedTopicOption = None,
    institution: InstitutionOption = None,
    options: ListOptions,
) -> None:
    """List what is stopped, for an institution or for all, and how many records wait."""


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
            help="How many bad records in a row may come before it is stopped again, this once.",
        ),
    ] = None,
    bulk: BulkOptions,
    decision: DecisionOptions,
) -> None:
    """Take the records of a topic again, those that wait first, in the order of their arrival.

    --topic with --institution resumes the topic for the institution, --topic alone for all of them
    where it is stopped as a whole; --all resumes all stops that the options select. The running
    service takes the records. If they are bad as before, the topic is stopped again and the rest
    waits on.
    """
