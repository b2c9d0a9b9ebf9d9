"""Settings into the parts of the process; with app and cli the only place that knows settings."""

import os
import socket
from collections.abc import Callable
from uuid import uuid4

from ..apply.applier import Applier, ApplyLimits
from ..apply.outputs import Outputs
from ..apply.tally import TallyInDatabase, TallySink
from ..consumer.loop import Intake, IntakeLimits, Source
from ..database.ledger_store import LedgerStore
from ..database.session import Pool, Writes
from ..export.job import ExportJob
from ..export.profiles.profile import Profiles
from ..export.publish import ExportTopics
from ..kafka.clients import GroupTimes
from ..kafka.topics import INPUTS, OUTPUTS
from ..messages import parse
from ..operations.standing import Standing, StandingLimits
from ..relay.loop import Relay, RelayLimits
from ..restore.check import RestoreCheck, Scope
from ..restore.guard import Guard
from ..runtime.telemetry import Metrics
from ..settings import Settings, StartAt
from .access import kafka_access

# Each part of the process that writes, by its name in the guard.
WRITERS = ("intake", "intake_offsets", "sweep", "export", "relay", "watch", "counts")
COMMAND = "command"


def new_check(settings: Settings) -> RestoreCheck:
    prefix = settings.topic_prefix
    scope = Scope(
        group_id=settings.consumer_group,
        inputs=[prefix + name for name in INPUTS],
        outputs=[prefix + name for name in OUTPUTS],
        seconds_max=settings.restore_check_seconds_max,
    )
    return RestoreCheck(kafka_access(settings), scope)


def new_guard(settings: Settings, pool: Pool) -> Guard:
    return Guard(pool, new_check(settings), instance_name())


def new_applier(
    settings: Settings,
    writer: Writes,
    committed: Callable[[], None],
    counting: TallySink | None = None,
) -> Applier:
    """The write path; `committed` is called after each commit, for the relay.

    `counting` is the service's own; without it what is committed is left for a service to count.
    """
    prefix = settings.topic_prefix
    outputs = Outputs(
        balance_changed=f"{prefix}balance-changed.v1",
        loan_closed=f"{prefix}loan-closed.v1",
        rejected=f"{prefix}rejected.v1",
        ce_source=settings.ce_source,
    )
    limits = ApplyLimits(
        tries_max=settings.commit_tries_max,
        internal_errors_in_a_row_max=settings.internal_errors_in_a_row_max,
    )
    return Applier(
        writer, LedgerStore(parse), outputs, limits, committed, counting or TallyInDatabase()
    )


def new_export_job(
    settings: Settings,
    applier: Applier,
    profiles: Profiles,
    metrics: Metrics | None = None,
    *,
    even_if_paused: bool = False,
) -> ExportJob:
    prefix = settings.topic_prefix
    topics = ExportTopics(f"{prefix}export-batch.v1", f"{prefix}export-manifest.v1")
    return ExportJob(applier, topics, profiles, metrics, even_if_paused=even_if_paused)


def new_intake(settings: Settings, guard: Guard, applier: Applier, metrics: Metrics) -> Intake:
    source = Source(
        group_id=settings.consumer_group,
        contracts={settings.topic_prefix + name: name for name in INPUTS},
        start_at_latest=settings.start_at is StartAt.LATEST,
    )
    limits = IntakeLimits(
        poll_records_max=settings.poll_records_max,
        poll_bytes_max=settings.poll_bytes_max,
        poll_wait_ms=settings.poll_wait_ms,
        rejected_in_a_row_alarm_records=settings.rejected_in_a_row_alarm_records,
        silence_seconds_max=settings.kafka_silence_seconds_max,
    )
    times = GroupTimes(
        session_timeout_ms=settings.kafka_session_timeout_ms,
        heartbeat_interval_ms=settings.kafka_heartbeat_interval_ms,
        rebalance_timeout_ms=settings.kafka_session_timeout_ms,
        max_poll_interval_ms=settings.kafka_max_poll_interval_ms,
        fetch_bytes_max=settings.poll_bytes_max,
    )
    return Intake(guard, kafka_access(settings), source, parse, applier, limits, times, metrics)


def new_relay(settings: Settings, guard: Guard, metrics: Metrics) -> Relay:
    limits = RelayLimits(
        page_rows_max=settings.relay_page_rows_max,
        page_bytes_max=settings.relay_page_bytes_max,
        request_bytes_max=settings.relay_request_bytes_max,
        idle_ms=settings.relay_idle_ms,
        lease_seconds=settings.relay_lease_seconds,
        # After the flush, which has waited for a quarter of the time: for the window in hand.
        shutdown_seconds_max=max(1, settings.shutdown_seconds_max // 12),
        outbox_age_alarm_seconds=settings.outbox_age_alarm_seconds,
    )
    return Relay(guard, kafka_access(settings), guard.process, limits, metrics)


def new_standing(
    settings: Settings, pool: Pool, profiles: Profiles | None, metrics: Metrics
) -> Standing:
    topics = {name: settings.topic_prefix + name for name in INPUTS}
    return Standing(pool, metrics, profiles, topics, standing_limits(settings))


def standing_limits(settings: Settings) -> StandingLimits:
    return StandingLimits(
        run_late_seconds_max=settings.run_late_seconds_max,
        unanswered_batch_days=settings.unanswered_batch_days,
        silent_source_days=settings.silent_source_days,
    )


def instance_name() -> str:
    """Unlike any other process's, and telling an operator which one it is."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
