"""`bursar-bridge run`, `migrate` and `topics`: the service, and what it needs before its start."""

import asyncio
import os
from collections.abc import Iterator

import typer

from ..database import migrate as migrations
from ..database.reach import in_words
from ..kafka.topic_settings import check_topics
from ..kafka.topics import INPUTS, OUTPUTS, create_topics
from ..runtime.logs import configure_logging
from ..runtime.problems import OlderDatabase
from ..runtime.telemetry import Event, get_log
from ..settings import KafkaSettings, unknown_variables
from .errors import complain_of_each, kafka_settings_or_exit, settings_or_exit
from .problems import PLAIN, operator_errors, status_of

log = get_log(__name__)


def run() -> None:
    """Runs the service; ends the process with the exit code of what stopped it."""
    from .. import app  # with the HTTP server: no other command needs it

    settings = settings_or_exit()
    begin_logging(settings)
    try:
        asyncio.run(app.run(settings))
    except Exception as problem:  # noqa: BLE001 - the process ends here, whatever it was
        leaves = list(_leaves(problem))
        # Every part stops because of it, and the first one says it all.
        older = [leaf for leaf in leaves if isinstance(leaf, OlderDatabase)]
        for leaf in older[:1] or leaves:
            _log(leaf)
        raise typer.Exit(max(map(status_of, leaves))) from None


def begin_logging(settings: KafkaSettings) -> None:
    """Logs as the settings say, first each variable that looks like a setting and is none."""
    configure_logging(settings.log_level, settings.log_format)
    for text in unknown_variables(os.environ):
        log.warning(Event.UNKNOWN_SETTING, text=text)


def _leaves(problem: BaseException) -> Iterator[BaseException]:
    if isinstance(problem, BaseExceptionGroup):
        for inner in problem.exceptions:
            yield from _leaves(inner)
    else:
        yield problem


def _log(problem: BaseException) -> None:
    """An operator's error in its own words; a bug with its place, never with its text."""
    if isinstance(problem, PLAIN):
        log.error(Event.FAILED, sort=type(problem).__name__, text=str(problem))
    else:
        log.error(Event.FAILED, exc_info=problem)


def migrate() -> None:
    """Brings the database to the schema of this release."""
    url = settings_or_exit().database_url.get_secret_value()
    with operator_errors(), in_words(url):
        applied = asyncio.run(migrations.migrate(url))
    typer.echo(f"{applied} applied" if applied else "nothing to apply")


def create_missing_topics(partitions: int | None, replication: int | None) -> None:
    """Creates the topics that are missing, each with so many partitions and copies."""
    settings = kafka_settings_or_exit()
    with operator_errors():
        created = asyncio.run(
            create_topics(
                settings,
                settings.topic_prefix,
                partitions,
                replication,
                settings.oldest_backup_days,
            )
        )
    for name in created:
        typer.echo(f"created {name}")
    typer.echo(f"{len(created)} created, {len(INPUTS) + len(OUTPUTS) - len(created)} there already")


def compare_topics() -> None:
    """Complains of each topic that differs from what it must be; ends with 1 if one does."""
    settings = kafka_settings_or_exit()
    with operator_errors():
        differences = asyncio.run(
            check_topics(settings, settings.topic_prefix, settings.oldest_backup_days)
        )
    complain_of_each([str(difference) for difference in differences])
    typer.echo(f"all {len(INPUTS) + len(OUTPUTS)} topics are as they must be")
