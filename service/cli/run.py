"""`bursar-bridge run`: the service itself."""

import asyncio
import os
from collections.abc import Iterator

import typer

from ..runtime.logs import configure_logging
from ..runtime.problems import OlderDatabase
from ..runtime.telemetry import Event, get_log
from ..settings import unknown_variables
from .errors import settings_or_exit
from .problems import PLAIN, status_of

log = get_log(__name__)


def run() -> None:
    """Runs the service; ends the process with the exit code of what stopped it."""
    from .. import app  # with the HTTP server: no other command needs it

    settings = settings_or_exit()
    configure_logging(settings.log_level, settings.log_format)
    for text in unknown_variables(os.environ):
        log.warning(Event.UNKNOWN_SETTING, text=text)
    try:
        asyncio.run(app.run(settings))
    except Exception as problem:  # noqa: BLE001 - the process ends here, whatever it was
        leaves = list(_leaves(problem))
        # Every part stops because of it, and the first one says it all.
        older = [leaf for leaf in leaves if isinstance(leaf, OlderDatabase)]
        for leaf in older[:1] or leaves:
            _log(leaf)
        raise typer.Exit(max(map(status_of, leaves))) from None


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
