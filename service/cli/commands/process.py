"""`run`, `migrate`, `check`, `topics`: the service itself, and what it needs before it starts."""

from typing import Annotated

import typer

from .declare import command, group
from .options import JsonOption

application = typer.Typer()


@command(application, "run", work="run.run")
def run() -> None:
    """Run the service until SIGTERM or SIGINT (twice: at once)."""


@command(application, "migrate", work="setup.migrate")
def migrate() -> None:
    """Bring the database to this version; from several instances at once, too."""


@command(application, "check", work="check.check")
def check(as_json: JsonOption = False) -> None:
    """Check settings, profiles, database, migrations, Kafka, topics and limits."""


topics = group(application, "topics", "Create or check the topics.")


@command(topics, "create", work="setup.create_missing_topics")
def create_topics(
    partitions: Annotated[
        int, typer.Option(min=1, max=10_000, help="Partitions of each new topic.")
    ] = 12,
    replication: Annotated[
        int, typer.Option(min=1, max=10, help="Copies of each new topic; 3 in production.")
    ] = 1,
) -> None:
    """Create the topics that are missing; those that exist stay as they are."""


@command(topics, "check", work="setup.compare_topics")
def check_topics() -> None:
    """Compare the topics with what they must be; exit code 1 if one differs."""
