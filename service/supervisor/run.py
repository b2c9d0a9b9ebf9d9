"""Runs the parent of `bursar-bridge run` with several processes, from its start to its end."""

import asyncio
from functools import partial

from aiokafka.errors import KafkaError

from ..runtime.failures import UNAVAILABLE
from ..runtime.health_port import HealthPort
from ..runtime.lifecycle import log_loop_problems, stop_on_signals, until_available
from ..runtime.problems import Unavailable, describe
from ..runtime.process import program_version
from ..runtime.readiness import SILENT, Readiness
from ..runtime.telemetry import Event, Metrics, get_log
from ..settings import Settings
from .capacity import check_connections, count_members
from .children import running_child, this_command
from .supervisor import Limits, Supervisor

log = get_log(__name__)

STARTED = "started"
WAITS = "waits for Kafka or the database, to count the members"


async def run(settings: Settings, processes: str) -> int:
    """Runs as many member processes as `processes`, a number or `auto`, stands for, until SIGTERM
    or SIGINT.

    Returns the exit status of the service. Raises OperatorError.
    """
    stop = asyncio.Event()
    log_loop_problems()
    metrics = Metrics()
    supervisor = Supervisor(partial(running_child, this_command()), metrics)
    port = HealthPort(metrics, supervisor, supervisor.findings)
    seconds_max = settings.shutdown_seconds_max
    with stop_on_signals(stop, seconds_max, before_end=supervisor.kill):
        async with port.listening(settings.ops_host, settings.ops_port):
            count = await _count(settings, processes, stop, port.readiness)
            status = 0
            if count is not None:
                log.info(Event.STARTED, version=program_version(), members=count)
                limits = Limits(
                    seconds_max,
                    settings.member_silence_seconds_max,
                    -(-settings.kafka_session_timeout_ms // 1_000),
                )
                status = await supervisor.run(count, stop, limits)
    log.info(Event.STOPPED)
    return status


async def _count(
    settings: Settings, processes: str, stop: asyncio.Event, readiness: Readiness
) -> int | None:
    """How many members there will be, once the servers have answered; None: asked to stop."""
    reason = WAITS

    async def attempt() -> int:
        count = await count_members(settings, processes)
        await check_connections(settings, count)
        return count

    def note(problem: Exception) -> None:
        nonlocal reason
        reason = str(problem) if isinstance(problem, Unavailable) else WAITS
        log.warning(Event.MEMBERS_AWAITED, problem=describe(problem))

    readiness.register(STARTED, lambda: reason, SILENT)
    count = await until_available(stop, attempt, (*UNAVAILABLE, KafkaError), note)
    readiness.unregister(STARTED)
    return count
