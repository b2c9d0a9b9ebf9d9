"""Settings from the environment, each with its unit in the name, its default and its bounds.

Variables are the fields in capitals behind `BURSAR_`; DATABASE_URL and KAFKA_BOOTSTRAP_SERVERS have
no prefix. A file in the folder BURSAR_SECRETS_DIR may have the value of the variable of its name.
"""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "BURSAR_"
SECRETS_DIR = "BURSAR_SECRETS_DIR"
# Of the test suite and of test builds, not the service's own.
FOREIGN = frozenset({SECRETS_DIR, "BURSAR_SERVICES", "BURSAR_CI_RUN"})
MIB = 1024 * 1024
LIKENESS_PERCENT_MIN = 75  # of a name that is suggested for another one
# A session shows a sign of life more often than the shortest limit that can be set.
IDLE_IN_TRANSACTION_MS_MIN = 1_000
_SERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")


class InvalidSettings(Exception):
    """Settings are at fault. Each line of the text names a variable and the rule, no value."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


StartAt = Literal["earliest", "latest"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["json", "console"]
KafkaProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


def _database_url(value: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(value.get_secret_value())
        sound = parts.scheme in ("postgresql", "postgres") and len(parts.path) > 1
    except ValueError:
        sound = False
    if not sound:
        raise ValueError("must be postgresql://user:password@host:port/database")
    return value


def _servers(value: str) -> str:
    if not all(_SERVER.fullmatch(server.strip()) for server in value.split(",")):
        raise ValueError("must be host:port, several with commas between")
    return value


def _readable_file(value: Path) -> Path:
    if not value.is_file():
        raise ValueError("must name a file that exists")
    return value


DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
Servers = Annotated[str, AfterValidator(_servers)]
ReadableFile = Annotated[Path, AfterValidator(_readable_file)]


class Group(BaseModel):
    """The settings of one part of the service, under their full names.

    Made without the environment, a group has the defaults and what the caller names. `Settings`
    has the fields of all groups and can be passed where a group is wanted.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)


class KafkaAccess(Group):
    """How to reach the brokers, and the time limits of every client."""

    kafka_bootstrap_servers: Servers = Field(validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    topic_prefix: str = Field("library.", pattern=r"^[A-Za-z0-9._-]{0,100}$")
    kafka_protocol: KafkaProtocol = "PLAINTEXT"
    kafka_mechanism: SaslMechanism = "SCRAM-SHA-512"
    kafka_user: str | None = None
    kafka_password: SecretStr | None = None
    kafka_ca_file: ReadableFile | None = None  # without one the system's authorities
    kafka_certificate_file: ReadableFile | None = None  # the client's own, for mutual TLS
    kafka_key_file: ReadableFile | None = None
    kafka_request_timeout_ms: int = Field(5_000, ge=1_000, le=60_000)
    # A hung broker still accepts connections: only the age of the metadata bounds that.
    kafka_metadata_max_age_ms: int = Field(5_000, ge=500, le=300_000)

    @model_validator(mode="after")
    def _credentials_are_complete(self) -> Self:
        named = self.kafka_user is not None and self.kafka_password is not None
        if self.kafka_protocol.startswith("SASL") and not named:
            raise ValueError(
                "BURSAR_KAFKA_USER and BURSAR_KAFKA_PASSWORD: both are required with this protocol"
            )
        if (self.kafka_certificate_file is None) != (self.kafka_key_file is None):
            raise ValueError(
                "BURSAR_KAFKA_CERTIFICATE_FILE and BURSAR_KAFKA_KEY_FILE: both or none"
            )
        return self


class ProcessSettings(Group):
    """Settings of the process: how long its end may take, its health port and its log."""

    shutdown_seconds_max: int = Field(25, ge=1, le=600)
    ops_host: str = Field("127.0.0.1", pattern=r"^[A-Za-z0-9.:_-]{1,255}$")
    ops_port: int = Field(8080, ge=0, le=65_535)  # 0: any free port, named in the log
    log_level: LogLevel = "info"
    log_format: LogFormat = "json"


class SftpSettings(Group):
    """Settings with which a delivery reaches an SFTP server."""

    sftp_key_file: ReadableFile | None = None
    sftp_known_hosts_file: ReadableFile | None = None  # without one the user's own list
    sftp_password: SecretStr | None = None


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
    """Settings of the write path: tries of a commit, and records in a row that may fail."""

    commit_tries_max: int = Field(8, ge=1, le=50)
    internal_errors_in_a_row_max: int = Field(20, ge=1, le=10_000)


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


class DatabaseLimits(Group):
    """The limits of every session with the database."""

    database_connections_max: int = Field(8, ge=4, le=200)
    database_connect_seconds_max: int = Field(10, ge=1, le=120)
    database_statement_ms_max: int = Field(30_000, ge=1_000, le=600_000)
    database_lock_wait_ms_max: int = Field(5_000, ge=100, le=60_000)
    database_idle_in_transaction_ms_max: int = Field(
        8_000, ge=IDLE_IN_TRANSACTION_MS_MIN, le=50_000
    )
    database_reply_seconds_max: int = Field(40, ge=2, le=900)


class KafkaSettings(SftpSettings, ProcessSettings, KafkaAccess, BaseSettings):
    """All settings of commands that use no database. `read_kafka_settings` reads them."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="ignore", env_ignore_empty=True, populate_by_name=False
    )


class Settings(
    DatabaseLimits, StandingLimits, RelayLimits, ApplyLimits, IntakeLimits, KafkaSettings
):
    """All settings that an operator may change. `read_settings` reads them."""

    database_url: DatabaseUrl = Field(validation_alias="DATABASE_URL")
    profiles_file: ReadableFile | None = None  # without one nothing is exported
    migrate_at_start: bool = True  # one instance does it, the others wait
    consumer_group: str = Field("bursar-bridge", pattern=r"^[A-Za-z0-9._-]{1,200}$")
    start_at: StartAt = "earliest"  # of a topic that the database has never seen
    ce_source: str = Field("/bursar-bridge", pattern=r"^[!-~]{1,200}$")
    restore_check_seconds_max: int = Field(120, ge=1, le=86_400)
    export_check_seconds: int = Field(15, ge=1, le=3_600)
    sweep_interval_seconds: int = Field(30, ge=1, le=86_400)
    parked_alarm_seconds: int = Field(259_200, ge=1, le=31_536_000)  # three days
    parked_queue_alarm_records: int = Field(1_000, ge=1, le=10_000_000)
    reconcile_interval_seconds: int = Field(86_400, ge=60, le=31_536_000)

    @model_validator(mode="after")
    def _timeouts_fit_together(self) -> Self:
        session_ms = self.kafka_session_timeout_ms
        shorter = "must be shorter than the"
        rules = {
            "KAFKA_HEARTBEAT_INTERVAL_MS: must be at most a third of the session timeout": (
                self.kafka_heartbeat_interval_ms * 3 <= session_ms
            ),
            f"KAFKA_REQUEST_TIMEOUT_MS: {shorter} session timeout": (
                self.kafka_request_timeout_ms < session_ms
            ),
            f"DATABASE_IDLE_IN_TRANSACTION_MS_MAX: {shorter} Kafka session timeout": (
                self.database_idle_in_transaction_ms_max < session_ms
            ),
            "DATABASE_REPLY_SECONDS_MAX: must be longer than a statement may take": (
                self.database_reply_seconds_max * 1_000 > self.database_statement_ms_max
            ),
        }
        for rule, is_kept in rules.items():
            if not is_kept:
                raise ValueError(PREFIX + rule)
        return self


Read = TypeVar("Read", bound=KafkaSettings)


def read_settings() -> Settings:
    """Reads all settings from the environment. Raises InvalidSettings with every fault."""
    return _read(Settings)


def read_kafka_settings() -> KafkaSettings:
    """Reads the settings that commands without a database use. Raises InvalidSettings."""
    return _read(KafkaSettings)


def _read(sort: type[Read]) -> Read:
    folder = os.environ.get(SECRETS_DIR)
    if folder is not None and not Path(folder).is_dir():
        raise InvalidSettings((f"{SECRETS_DIR}: must name a folder that exists",))
    try:
        return sort(_secrets_dir=folder)
    except ValidationError as problem:
        # Only place and rule are taken over: pydantic's own text shows the value. No cause either.
        faults = problem.errors(include_input=False, include_url=False, include_context=False)
    faults.sort(key=lambda fault: fault["type"] != "missing")  # what is required comes first
    raise InvalidSettings(tuple(map(_fault_text, faults)))


def unknown_variables(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Returns a line for each BURSAR_ variable that is no setting: it may be a misspelt one."""
    known = {variable_of(name) for name in Settings.model_fields} | FOREIGN
    strange = sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
    return tuple(_unknown(name, known) for name in strange)


def variable_of(field: str) -> str:
    """Returns the name of the environment variable of a field of the settings."""
    alias = Settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else PREFIX + field.upper()


def _unknown(name: str, known: set[str]) -> str:
    # Without the prefix, which all of them have: it makes any two names look alike.
    names = {variable.removeprefix(PREFIX): variable for variable in known}
    likeness = LIKENESS_PERCENT_MIN / 100
    near = difflib.get_close_matches(name.removeprefix(PREFIX), names, 1, likeness)
    hint = f", did you mean {names[near[0]]}?" if near else ""
    return f"{name}: is not a setting{hint}"


def rule_of(message: str) -> str:
    """The rule in a message of the validation library, which says what a value "should" be."""
    return re.sub(r"^(Input|String) should", "must", message.removeprefix("Value error, "))


def _fault_text(fault: ErrorDetails) -> str:
    rule = "is required" if fault["type"] == "missing" else rule_of(fault["msg"])
    if not (place := fault["loc"]):  # a rule over several fields names its variables itself
        return rule
    field = str(place[0])
    name = variable_of(field) if field in Settings.model_fields else field
    return f"{name}: {rule[:1].lower() + rule[1:]}"
