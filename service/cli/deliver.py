"""The work of `bursar-bridge deliver`: reads published batches from Kafka and writes them into a
folder or onto an SFTP server.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Sequence
from hashlib import sha256
from pathlib import Path

from ..delivery.delivery import UNAVAILABLE, Delivery
from ..delivery.feed import Feed
from ..delivery.folder import Folder
from ..delivery.placing import Delivered
from ..delivery.state import DeliveryRequest, StateFile
from ..delivery.target import SCHEME, Target
from ..export.formats import format_named
from ..export.formats.layout import read_layout
from ..runtime.lifecycle import stop_on_signals
from ..runtime.problems import OperatorError
from ..runtime.process import program_version
from ..runtime.telemetry import Event, Metrics, get_log
from ..settings import KafkaSettings
from . import progress
from .commands.files import DeliveryOptions
from .errors import complain, complain_of_each, kafka_settings_or_exit, usage_error
from .lists import Listing, Row, identifier, number, word
from .problems import operator_errors
from .process import begin_logging
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


def deliver(target: str, options: DeliveryOptions, once: bool, as_json: bool) -> None:
    """Delivers batches to a folder or an SFTP server until SIGTERM or SIGINT; with `once` only
    until all batches that are now in the topics are delivered.
    """
    settings = kafka_settings_or_exit()
    begin_logging(settings)
    layout = options.layout
    digest = None if layout is None else sha256(layout.read_bytes()).hexdigest()
    codes = frozenset(options.profile or ())
    continue_at = _continue_at(options.continue_at or ())
    request = DeliveryRequest(codes, continue_at, digest, options.change_options)
    if not all(_CODE.fullmatch(code) for code in codes):
        raise usage_error("--profile: must be a profile's code: letters, digits, underscore")
    if not _GROUP.fullmatch(options.group):
        raise usage_error("--group: must be letters, digits, dot, hyphen or underscore")
    metrics = Metrics()
    with operator_errors():
        form = format_named(options.file_format, None if layout is None else read_layout(layout))
        to, state = _target(settings, target, options)

        def new_delivery() -> Delivery:
            """Kafka's clients are made within the event loop."""
            feed = Feed(settings, settings.topic_prefix, options.group)
            return Delivery(feed, to, state, form, request, metrics=metrics)

        with state.locked():
            asyncio.run(_deliver(settings, new_delivery, metrics, once, as_json))


def _continue_at(texts: Sequence[str]) -> dict[str, int]:
    batches = {}
    for text in texts:
        match = _CONTINUE.fullmatch(text)
        if match is None:
            raise usage_error("--continue-at: must be PROFILE=BATCH, such as DAILY=12")
        batches[match[1]] = int(match[2])
    return batches


def _target(
    settings: KafkaSettings, target: str, options: DeliveryOptions
) -> tuple[Target, StateFile]:
    if target.partition(":")[0].lower() != SCHEME:
        folder = Path(target)
        if not folder.is_dir():
            raise OperatorError(f"{folder}: must be a folder that exists")
        return Folder(folder), StateFile(options.state or folder / f".{options.group}.json")
    from ..delivery.sftp import Sftp, sftp_access  # with its cryptography: only here

    if options.state is None:
        raise OperatorError("--state: is required with SFTP: a file of this machine")
    password = settings.sftp_password
    access = sftp_access(
        target,
        settings.sftp_key_file,
        settings.sftp_known_hosts_file,
        None if password is None else password.get_secret_value(),
    )
    return Sftp(access), StateFile(options.state)


async def _deliver(
    settings: KafkaSettings,
    new_delivery: Callable[[], Delivery],
    metrics: Metrics,
    once: bool,
    as_json: bool,
) -> None:
    delivery = new_delivery()
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

        def delivered(batch: Delivered) -> None:
            rows.append(_row(batch))
            bars.advance(task)

        await delivery.run_to_end(stop, delivered)
    show(DELIVERED, rows, as_json)
    for note in delivery.passed_over:
        complain(note)
    problems = [f"{name}: {text}" for name, text in delivery.standstills.items()]
    problems += delivery.undeliverable_again + delivery.findings_on_codes
    complain_of_each(problems)


def _row(delivered: Delivered) -> Row:
    return {
        "profile": delivered.batch.key,
        "batch_number": delivered.batch.batch_number,
        "file": delivered.batch.file_name,
        "fines": delivered.totals["count"],
        "total": delivered.totals["total"],
        "currency": delivered.totals["currency"],
        "outcome": "written" if delivered.is_written else "there already",
    }


@contextlib.asynccontextmanager
async def _listening(
    settings: KafkaSettings, metrics: Metrics, delivery: Delivery
) -> AsyncIterator[None]:
    """The operators' port, while it runs as a service."""
    from ..runtime.health_port import HealthPort
    from ..runtime.readiness import SILENT  # the delivery has lines of its own

    port = HealthPort(metrics)

    port.readiness.register("delivery", delivery.problem, SILENT)
    async with port.listening(settings.ops_host, settings.ops_port):
        yield
