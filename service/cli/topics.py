"""`bursar-bridge topics`: creates and checks the nine topics."""

import asyncio

import typer

from ..kafka.topics import INPUTS, OUTPUTS, TopicShape, check_topics, create_topics
from .errors import FAILED, complain, kafka_settings_or_exit, operator_errors


def create(partitions: int, replication: int) -> None:
    settings = kafka_settings_or_exit()
    shape = TopicShape(partitions, replication)
    with operator_errors():
        created = asyncio.run(create_topics(settings, settings.topic_prefix, shape))
    for name in created:
        typer.echo(f"created {name}")
    typer.echo(f"{len(created)} created, {len(INPUTS) + len(OUTPUTS) - len(created)} there already")


def check() -> None:
    settings = kafka_settings_or_exit()
    with operator_errors():
        found = asyncio.run(check_topics(settings, settings.topic_prefix))
    for difference in found:
        complain(f"{difference.topic}: {difference.rule}")
    if found:
        raise typer.Exit(FAILED)
    typer.echo(f"all {len(INPUTS) + len(OUTPUTS)} topics are as they must be")
