"""Settings of the parts of a process: how much each takes at once, and how long it may take."""

from pydantic import Field

from .values import MIB, Group, LogFormat, LogLevel


class ProcessSettings(Group):
    """Settings of the process: how long its end may take, its health port and its log."""

    shutdown_seconds_max: int = Field(25, ge=1, le=600)
    ops_host: str = Field("127.0.0.1", pattern=r"^[A-Za-z0-9.:_-]{1,255}$")
    ops_port: int = Field(8080, ge=0, le=65_535)  # 0: any free port, named in the log
    log_level: LogLevel = "info"
    log_format: LogFormat = "json"


class RecoverySettings(Group):
    """What has to be kept so that a database that was restored from a backup can be recovered."""

    oldest_backup_days: int = Field(30, ge=1, le=3_650)


class IntakeLimits(Group):
    """Settings of the consumer: the size of a poll, and the timing of its membership."""

    kafka_session_timeout_ms: int = Field(10_000, ge=6_000, le=60_000)
    kafka_heartbeat_interval_ms: int = Field(1_000, ge=100, le=20_000)
    kafka_silence_seconds_max: int = Field(8, ge=2, le=600)
    kafka_max_poll_interval_ms: int = Field(300_000, ge=10_000, le=3_600_000)
    poll_records_max: int = Field(2_000, ge=1, le=50_000)
    poll_bytes_max: int = Field(8 * MIB, ge=64 * 1024, le=256 * MIB)
    poll_wait_ms: int = Field(200, ge=1, le=10_000)
    rejected_in_a_row_alarm_records: int = Field(100, ge=1, le=10_000_000)


class ApplyLimits(Group):
    """Settings of the write path: tries of a commit, and records in a row that may fail or be bad
    until a topic is stopped.
    """

    commit_tries_max: int = Field(8, ge=1, le=50)
    internal_errors_in_a_row_max: int = Field(20, ge=1, le=10_000)
    bad_records_in_a_row_max: int = Field(1_000, ge=0, le=10_000_000)  # 0: nothing is stopped


class RelayLimits(ProcessSettings):
    """Settings of the relay: the size of a page of the outbox, and the duration of a lease."""

    relay_page_rows_max: int = Field(500, ge=1, le=10_000)
    relay_page_bytes_max: int = Field(8 * MIB, ge=64 * 1024, le=256 * MIB)
    relay_request_bytes_max: int = Field(15 * MIB, ge=64 * 1024, le=256 * MIB)
    relay_idle_ms: int = Field(500, ge=10, le=60_000)
    relay_lease_seconds: int = Field(10, ge=2, le=300)
    outbox_age_alarm_seconds: int = Field(60, ge=1, le=86_400)


class StandingLimits(Group):
    """Settings that say when a run is late, a batch unanswered and a source silent."""

    run_late_seconds_max: int = Field(3_600, ge=60, le=2_592_000)
    unanswered_batch_days: int = Field(14, ge=1, le=3_650)
    silent_source_days: int = Field(14, ge=1, le=3_650)
