"""`bursar-bridge topics`: creates and checks the nine topics."""

import asyncio
from typing import Annotated

import typer

from service.cli.errors import FAILED, complain, kafka_settings_or_exit, operator_errors
from service.kafka.topics import INPUTS, OUTPUTS, TopicShape, check_topics, create_topics
from service.wiring import kafka_access

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
    settings = kafka_settings_or_exit()
    shape = TopicShape(partitions, replication)
    with operator_errors():
        created = asyncio.run(create_topics(kafka_access(settings), settings.topic_prefix, shape))
    for name in created:
        typer.echo(f"created {name}")
    typer.echo(f"{len(created)} created, {len(INPUTS) + len(OUTPUTS) - len(created)} there already")


@application.command()
def check() -> None:
    """Compare the topics with what they must be; exit code 1 if one differs."""
    settings = kafka_settings_or_exit()
    with operator_errors():
        found = asyncio.run(check_topics(kafka_access(settings), settings.topic_prefix))
    for difference in found:
        complain(f"{difference.topic}: {difference.rule}")
    if found:
        raise typer.Exit(FAILED)
    typer.echo(f"all {len(INPUTS) + len(OUTPUTS)} topics are as they must be")
