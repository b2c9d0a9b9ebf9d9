"""`bursar-bridge migrate` and `topics`: what the service needs before its first start."""

import asyncio

import typer

from ..database import migrate as migrations
from ..database.reach import in_words
from ..kafka.topics import INPUTS, OUTPUTS, TopicShape, check_topics, create_topics
from .errors import FAILED, complain, kafka_settings_or_exit, settings_or_exit
from .problems import operator_errors


def migrate() -> None:
    """Brings the database to the schema of this release."""
    url = settings_or_exit().database_url.get_secret_value()
    with operator_errors(), in_words(url):
        applied = asyncio.run(migrations.migrate(url))
    typer.echo(f"{applied} applied" if applied else "nothing to apply")


def create_missing_topics(partitions: int, replication: int) -> None:
    """Creates the topics that are missing, each with so many partitions and copies."""
    settings = kafka_settings_or_exit()
    shape = TopicShape(partitions, replication)
    with operator_errors():
        created = asyncio.run(create_topics(settings, settings.topic_prefix, shape))
    for name in created:
        typer.echo(f"created {name}")
    typer.echo(f"{len(created)} created, {len(INPUTS) + len(OUTPUTS) - len(created)} there already")


def compare_topics() -> None:
    """Complains of each topic that differs from what it must be; ends with 1 if one does."""
    settings = kafka_settings_or_exit()
    with operator_errors():
        differences = asyncio.run(check_topics(settings, settings.topic_prefix))
    for difference in differences:
        complain(f"{difference.topic}: {difference.rule}")
    if differences:
        raise typer.Exit(FAILED)
    typer.echo(f"all {len(INPUTS) + len(OUTPUTS)} topics are as they must be")
