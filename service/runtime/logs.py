"""Writes the logs of this program and of its libraries, as JSON lines with times in UTC, or as
text.
"""

import logging
import sys
import time
from collections.abc import MutableMapping
from typing import TextIO

import structlog

from .problems import describe

REPEAT_SECONDS = 10
TEMPLATES_MAX = 1_000

Fields = MutableMapping[str, object]


def configure_logging(level: str, log_format: str, stream: TextIO | None = None) -> None:
    """Sets up the logs of the process, once.

    `level` is debug, info, warning or error; `log_format` is json or console; `stream` is the
    standard error output if it is None.
    """
    handler = _StandardError() if stream is None else logging.StreamHandler(stream)
    handler.setFormatter(_formatter(log_format == "console"))
    handler.addFilter(RepeatsFilter(("aiokafka", "kafka")))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Per request and per metadata refresh: of no use to an operator, and never below warning.
    for noisy in ("aiohttp.access", "asyncio", "alembic", "aiokafka", "asyncssh"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


class _StandardError(logging.StreamHandler[TextIO]):
    """Looks up sys.stderr for each line: a progress bar puts itself in its place for a while."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


class RepeatsFilter(logging.Filter):
    """Lets only one log line of the same kind pass in each interval, because a Kafka client without
    a broker writes 30 lines a second.

    The first line that passes after an interval says how many lines of its kind were left out.
    """

    def __init__(self, loggers: tuple[str, ...], interval_seconds: int = REPEAT_SECONDS) -> None:
        super().__init__()
        self._loggers = loggers
        self._interval = interval_seconds
        self._shown: dict[tuple[str, int, str], tuple[int, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Returns whether the log line `record` is written or left out as a repeat."""
        if record.name.partition(".")[0] not in self._loggers:
            return True
        kind, now = (record.name, record.levelno, str(record.msg)), self.now_seconds()
        shown_at, kept_back = self._shown.get(kind, (None, 0))
        if shown_at is not None and now - shown_at < self._interval:
            self._shown[kind] = (shown_at, kept_back + 1)
            return False
        if len(self._shown) >= TEMPLATES_MAX:
            self._shown.clear()
        self._shown[kind] = (now, 0)
        if kept_back:
            record.kept_back = kept_back
        return True

    def now_seconds(self) -> int:
        """Returns the time of the monotonic clock in seconds."""
        return time.monotonic_ns() // 1_000_000_000


def _shared() -> list[structlog.typing.Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _problem,
    ]


def _formatter(console: bool) -> logging.Formatter:
    last: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
        if console
        else [structlog.processors.JSONRenderer(default=str, ensure_ascii=False)]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_shared(), _kept_back],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )


def _problem(_logger: object, _method: str, fields: Fields) -> Fields:
    """In place of a traceback, whose last line would quote what the exception quotes."""
    caught = fields.pop("exc_info", None)
    if caught is True or (isinstance(caught, tuple) and not caught):
        caught = sys.exc_info()
    problem = caught[1] if isinstance(caught, tuple) else caught
    if isinstance(problem, BaseException):
        fields["problem"] = describe(problem)
    return fields


def _kept_back(_logger: object, _method: str, fields: Fields) -> Fields:
    if count := getattr(fields.get("_record"), "kept_back", 0):
        fields["kept_back"] = count
    return fields
