"""`bursar-bridge deliver`: sealed batches from their topics into a folder or an SFTP server."""

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import typer

from ..delivery.delivery import UNAVAILABLE, Delivery
from ..delivery.feed import Feed
from ..delivery.folder import Folder
from ..delivery.options import DeliveryRequest
from ..delivery.placing import Delivered
from ..delivery.state import StateFile
from ..delivery.target import SCHEME, Target
from ..export.formats import Format, format_named
from ..export.formats.layout import read_layout
from ..runtime.lifecycle import stop_on_signals
from ..runtime.logs import configure_logging
from ..runtime.problems import OperatorError
from ..runtime.telemetry import Event, Metrics, get_log
from ..runtime.version import program_version
from ..settings import KafkaSettings, unknown_variables
from . import progress
from .errors import FAILED, complain, kafka_settings_or_exit, operator_errors
from .lists import Listing, Row, identifier, number, word
from .shown import misuse
from .tables import show

log = get_log(__name__)

DELIVERED = Listing(
    "nothing delivered",
    (
        identifier("file"),
        number("fines"),
        number("total"),
        word("currency"),
        word("outcome"),
        identifier("profile"),
        number("batch_number"),
    ),
)

_GROUP = re.compile(r"[A-Za-z0-9._-]{1,200}", re.ASCII)
_CODE = re.compile(r"[A-Za-z0-9_]+", re.ASCII)
_CONTINUE = re.compile(r"([A-Za-z0-9_]+)=([1-9][0-9]{0,17})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Parts:
    """A delivery, and what tells of it."""

    delivery: Delivery
    state: StateFile
    metrics: Metrics


def deliver(
    target: str,
    profile: list[str] | None,
    form: str,
    layout: Path | None,
    state: Path | None,
    group: str,
    continue_at: list[str] | None,
    change_options: bool,
    once: bool,
    as_json: bool,
) -> None:
    settings = kafka_settings_or_exit()
    configure_logging(settings.log_level, settings.log_format)
    for line in unknown_variables(os.environ):
        log.warning(Event.UNKNOWN_SETTING, text=line)
    digest = None if layout is None else sha256(layout.read_bytes()).hexdigest()
    codes = frozenset(profile or ())
    wanted = DeliveryRequest(codes, _continue_at(continue_at or ()), digest, change_options)
    if not all(_CODE.fullmatch(code) for code in wanted.codes):
        raise misuse("--profile: must be a profile's code: letters, digits, underscore")
    if not _GROUP.fullmatch(group):
        raise misuse("--group: must be letters, digits, dot, hyphen or underscore")
    with operator_errors():
        shape = format_named(form, None if layout is None else read_layout(layout))
        to, kept = _target(settings, target, state, group)
        with kept.locked():
            asyncio.run(_deliver(settings, (to, kept, shape, wanted, group), once, as_json))


def _continue_at(named: Sequence[str]) -> dict[str, int]:
    found = {}
    for one in named:
        match = _CONTINUE.fullmatch(one)
        if match is None:
            raise misuse("--continue-at: must be PROFILE=BATCH, such as DAILY=12")
        found[match[1]] = int(match[2])
    return found


def _target(
    settings: KafkaSettings, target: str, state: Path | None, group: str
) -> tuple[Target, StateFile]:
    if target.partition(":")[0].lower() != SCHEME:
        folder = Path(target)
        if not folder.is_dir():
            raise OperatorError(f"{folder}: must be a folder that exists")
        return Folder(folder), StateFile(state or folder / f".{group}.json")
    from ..delivery.sftp import Sftp, sftp_access  # with its cryptography: only here

    if state is None:
        raise OperatorError("--state: is required with SFTP: a file of this machine")
    password = settings.sftp_password
    access = sftp_access(
        target,
        settings.sftp_key_file,
        settings.sftp_known_hosts_file,
        None if password is None else password.get_secret_value(),
    )
    return Sftp(access), StateFile(state)


async def _deliver(
    settings: KafkaSettings,
    made_of: tuple[Target, StateFile, Format, DeliveryRequest, str],
    once: bool,
    as_json: bool,
) -> None:
    target, state, form, wanted, group = made_of
    metrics = Metrics()
    feed = Feed(settings, settings.topic_prefix, group)
    delivery = Delivery(feed, target, state, form, wanted, metrics=metrics)
    stop = asyncio.Event()
    with stop_on_signals(stop, settings.shutdown_seconds_max):
        try:
            if once:
                await _once(delivery, stop, as_json)
            else:
                async with _listening(settings, metrics, delivery):
                    log.info(Event.STARTED, version=program_version())
                    await delivery.run(stop)
                log.info(Event.STOPPED)
        except UNAVAILABLE as problem:
            raise OperatorError(f"not reachable: {problem}") from None
        finally:
            await delivery.close()


async def _once(delivery: Delivery, stop: asyncio.Event, as_json: bool) -> None:
    rows: list[Row] = []
    with progress.steps() as bars:
        task = bars.add_task("delivering", total=None)

        def told(one: Delivered) -> None:
            rows.append(_row(one))
            bars.advance(task)

        await delivery.run_to_end(stop, told)
    show(DELIVERED, rows, as_json)
    for note in delivery.passed_over:
        complain(note)
    problems = [f"{name}: {text}" for name, text in delivery.standstills.items()]
    problems += delivery.undeliverable_again + delivery.unseen
    for problem in problems:
        complain(problem)
    if problems:
        raise typer.Exit(FAILED)


def _row(one: Delivered) -> Row:
    return {
        "profile": one.profile,
        "batch_number": one.batch_number,
        "file": one.file_name,
        "fines": one.count,
        "total": one.total,
        "currency": one.currency,
        "outcome": "written" if one.is_written else "there already",
    }


@contextlib.asynccontextmanager
async def _listening(
    settings: KafkaSettings, metrics: Metrics, delivery: Delivery
) -> AsyncIterator[None]:
    """The operators' port, while it runs as a service."""
    from ..runtime.ops import Ops  # with the HTTP server
    from ..runtime.readiness import SILENT  # the delivery has lines of its own

    ops = Ops(metrics)

    async def is_delivering() -> str | None:
        return delivery.problem()

    ops.readiness.register("delivery", is_delivering, SILENT)
    async with ops.listening(settings.ops_host, settings.ops_port):
        yield
