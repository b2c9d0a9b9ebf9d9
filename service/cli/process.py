"""The work of `bursar-bridge run`, `migrate` and `topics`: runs the service, and prepares the
database and Kafka for its start.
"""

import asyncio
import contextlib
import os
from collections.abc import Iterator

import structlog
import typer

from ..database import migrate as migrations
from ..database.reach import in_words
from ..kafka.topic_settings import check_topics
from ..kafka.topics import INPUTS, OUTPUTS, create_topics
from ..runtime.cores import usable_cores
from ..runtime.logs import configure_logging
from ..runtime.problems import OlderDatabase, OperatorError
from ..runtime.telemetry import Event, get_log
from ..settings import KafkaSettings, Settings, unknown_variables
from ..settings.values import AUTO
from ..supervisor.member import Parent
from ..supervisor.roster import FOR_A_PERSON
from .errors import (
    FAILED,
    complain_of_each,
    kafka_settings_or_exit,
    processes_or_exit,
    settings_or_exit,
)
from .problems import PLAIN, operator_errors, status_of

log = get_log(__name__)


def run(processes: str | None) -> None:
    """Runs the service; when an error has stopped it, ends the process with the exit code of that
    error.

    If several processes are wanted, the process that the operator has started becomes their parent;
    each process that the parent starts calls this function, too.
    """
    settings = settings_or_exit()
    wanted = processes_or_exit(processes, settings)
    parent = Parent.of_this_process()
    if parent is not None:
        _run_member(settings, parent)
    elif wanted == "1" or (wanted == AUTO and usable_cores() == 1):
        begin_logging(settings)
        _run_alone(settings, None)
    else:
        begin_logging(settings)
        _run_members(settings, wanted)


def _run_alone(settings: Settings, parent: Parent | None) -> None:
    from .. import app  # with the HTTP server: no other command needs it

    with errors_logged(for_a_person=FAILED if parent is None else FOR_A_PERSON):
        asyncio.run(app.run(settings, parent))


def _run_member(settings: Settings, parent: Parent) -> None:
    """The log names the member; what the parent has logged of the settings is not repeated."""
    configure_logging(settings.log_level, settings.log_format)
    structlog.contextvars.bind_contextvars(member=parent.number)
    parent.end_with_it(settings.shutdown_seconds_max)
    _run_alone(settings, parent)


def _run_members(settings: Settings, processes: str) -> None:
    from ..supervisor.run import run as supervise  # with the HTTP server, as above

    with errors_logged(for_a_person=FAILED):
        status = asyncio.run(supervise(settings, processes))
    raise typer.Exit(status)


@contextlib.contextmanager
def errors_logged(for_a_person: int) -> Iterator[None]:
    """Logs the exceptions with which the service ends in this block, and ends the process with
    their exit code.

    `for_a_person` is the exit code for errors that a person has to correct and that have no exit
    code of their own. That another process is just migrating the database is no such error, because
    it passes by itself.
    """
    try:
        yield
    except Exception as problem:  # noqa: BLE001 - the process ends here, whatever it was
        leaves = list(_leaves(problem))
        # Every part stops because of it, and the first one says it all.
        older = [leaf for leaf in leaves if isinstance(leaf, OlderDatabase)]
        for leaf in older[:1] or leaves:
            _log(leaf)
        status = max(map(status_of, leaves))
        kinds = [type(leaf) for leaf in leaves if isinstance(leaf, OperatorError)]
        if status == FAILED and any(kind is not migrations.MigrationBusy for kind in kinds):
            status = for_a_person
        raise typer.Exit(status) from None


def begin_logging(settings: KafkaSettings) -> None:
    """Configures the log as the settings say, and logs a warning for each environment variable that
    looks like a setting and is none.
    """
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
    """Applies the migrations that the database lacks for this release, and prints how many there
    were.
    """
    url = settings_or_exit().database_url.get_secret_value()
    with operator_errors(), in_words(url):
        applied = asyncio.run(migrations.migrate(url))
    typer.echo(f"{applied} applied" if applied else "nothing to apply")


def create_missing_topics(partitions: int | None, replication: int | None) -> None:
    """Creates the service's topics that are missing, each with `partitions` partitions and
    `replication` replicas; None takes the numbers that existing topics have.
    """
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
    """Prints a line on standard error for each topic whose settings are not as they must be; if
    there is one, ends the command with exit code 1.
    """
    settings = kafka_settings_or_exit()
    with operator_errors():
        differences = asyncio.run(
            check_topics(settings, settings.topic_prefix, settings.oldest_backup_days)
        )
    complain_of_each([str(difference) for difference in differences])
    typer.echo(f"all {len(INPUTS) + len(OUTPUTS)} topics are as they must be")
