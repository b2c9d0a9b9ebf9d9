"""`bursar-bridge topics`: creates and checks the nine topics."""

from typing import Annotated

import typer

application = typer.Typer(help="Create or check the topics.", no_args_is_help=True)


@application.command()
def create(
    partitions: Annotated[
        int, typer.Option(min=1, max=10_000, help="Partitions of each new topic.")
    ] = 12,
    replication: Annotated[
        int, typer.Option(min=1, max=10, help="Copies of each new topic; 3 in production.")
    ] = 1,
) -> None:
    """Create the topics that are missing; those that exist stay as they are."""
    from .. import topics

    topics.create(partitions, replication)


@application.command()
def check() -> None:
    """Compare the topics with what they must be; exit code 1 if one differs."""
    from .. import topics

    topics.check()
