"""Settings of the parts of a service process, such as intake and relay: how much each handles at
once, and how long its work may last.
"""

from pydantic import Field

from .values import MIB, Group, LogFormat, LogLevel, Processes


class ProcessSettings(Group):
    """Settings of a service process: how long it may take to end, the port for its health checks
    and metrics, and its log.
    """

    shutdown_seconds_max: int = Field(25, ge=1, le=600)
    ops_host: str = Field("127.0.0.1", pattern=r"^[A-Za-z0-9.:_-]{1,255}$")
    ops_port: int = Field(8080, ge=0, le=65_535)  # 0: any free port, named in the log
    log_level: LogLevel = "info"
    log_format: LogFormat = "json"


class MemberSettings(ProcessSettings):
    """Settings for running the service in several processes: how many, and for how long one may
    send no sign of life before its parent ends it.
    """

    processes: Processes = "1"
    member_silence_seconds_max: int = Field(30, ge=10, le=3_600)


class RecoverySettings(Group):
    """Settings for the recovery of a restored database: how old the oldest backup may be, which
    decides how long topics must keep records.
    """

    oldest_backup_days: int = Field(30, ge=1, le=3_650)


class IntakeLimits(Group):
    """Settings of the Kafka consumer: how many records it takes at once, and the timeouts of its
    membership in the consumer group.
    """

    kafka_session_timeout_ms: int = Field(10_000, ge=6_000, le=60_000)
    kafka_heartbeat_interval_ms: int = Field(1_000, ge=100, le=20_000)
    kafka_silence_seconds_max: int = Field(8, ge=2, le=600)
    kafka_max_poll_interval_ms: int = Field(300_000, ge=10_000, le=3_600_000)
    poll_records_max: int = Field(2_000, ge=1, le=50_000)
    poll_bytes_max: int = Field(8 * MIB, ge=64 * 1024, le=256 * MIB)
    poll_wait_ms: int = Field(200, ge=1, le=10_000)
    rejected_in_a_row_alarm_records: int = Field(100, ge=1, le=10_000_000)


class ApplyLimits(Group):
    """Settings of the code that applies records to the ledger.

    These settings say how often a failing commit is tried again, after how many internal errors in
    a row the process ends, and after how many bad records in a row an input topic is stopped.
    """

    commit_tries_max: int = Field(8, ge=1, le=50)
    internal_errors_in_a_row_max: int = Field(20, ge=1, le=10_000)
    bad_records_in_a_row_max: int = Field(1_000, ge=0, le=10_000_000)  # 0: nothing is stopped


class RelayLimits(ProcessSettings):
    """Settings of the relay, which sends the outbox to Kafka: how much of the outbox it reads at
    once, and how long its lease, the right to send, lasts.
    """

    relay_page_rows_max: int = Field(500, ge=1, le=10_000)
    relay_page_bytes_max: int = Field(8 * MIB, ge=64 * 1024, le=256 * MIB)
    relay_request_bytes_max: int = Field(15 * MIB, ge=64 * 1024, le=256 * MIB)
    relay_idle_ms: int = Field(500, ge=10, le=60_000)
    relay_lease_seconds: int = Field(10, ge=2, le=300)
    outbox_age_alarm_seconds: int = Field(60, ge=1, le=86_400)


class StandingLimits(Group):
    """Settings that say after what time `check` and the metrics report that an export run is late,
    a batch has no response, or a source has sent nothing.
    """

    run_late_seconds_max: int = Field(3_600, ge=60, le=2_592_000)
    unanswered_batch_days: int = Field(14, ge=1, le=3_650)
    silent_source_days: int = Field(14, ge=1, le=3_650)
