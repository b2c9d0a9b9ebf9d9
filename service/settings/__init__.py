"""Reads the service's settings from environment variables; each setting has its unit in its name, a
default and bounds.

The modules of this package define the settings in groups, one for each part of the service. The
variable of a field is its name in capital letters after the prefix `BURSAR_`; only DATABASE_URL and
KAFKA_BOOTSTRAP_SERVERS have no prefix. Instead of a variable, a file with the variable's name in
the folder BURSAR_SECRETS_DIR may hold the value.
"""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Self, TypeVar

from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from .access import DatabaseLimits, KafkaAccess, SftpSettings
from .parts import (
    ApplyLimits,
    IntakeLimits,
    MemberSettings,
    ProcessSettings,
    RecoverySettings,
    RelayLimits,
    StandingLimits,
)
from .retention import RetentionLimits
from .values import DatabaseUrl, ReadableFile, StartAt

PREFIX = "BURSAR_"
SECRETS_DIR = "BURSAR_SECRETS_DIR"
# Of the test suite and of test builds, not the service's own.
FOREIGN = frozenset({SECRETS_DIR, "BURSAR_SERVICES", "BURSAR_CI_RUN"})
LIKENESS_PERCENT_MIN = 75  # of a name that is suggested for another one


class InvalidSettings(Exception):
    """Settings are missing or not allowed. Each line of the message names a variable and the rule
    that it breaks, but not its value, which may be secret.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class KafkaSettings(SftpSettings, ProcessSettings, RecoverySettings, KafkaAccess):
    """The settings of commands that need Kafka and no database; `read_kafka_settings` reads
    them.
    """


class Settings(
    RetentionLimits,
    DatabaseLimits,
    StandingLimits,
    RelayLimits,
    ApplyLimits,
    IntakeLimits,
    MemberSettings,
    KafkaSettings,
):
    """All settings of the service that an operator may change; `read_settings` reads them."""

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
    """Reads all settings from the environment. Raises InvalidSettings, which lists all settings
    that are missing or not allowed.
    """
    return _read(Settings)


def read_kafka_settings() -> KafkaSettings:
    """Reads the settings of commands that need Kafka and no database. Raises InvalidSettings."""
    return _read(KafkaSettings)


def _read(sort: type[Read]) -> Read:
    texts = _by_variable(_secrets()) | _by_variable(os.environ)
    values = {
        field.validation_alias or name: texts[variable_of(name)]
        for name, field in sort.model_fields.items()
        if variable_of(name) in texts
    }
    try:
        return sort.model_validate(values)
    except ValidationError as problem:
        # Only place and rule are taken over: pydantic's own text shows the value. No cause either.
        faults = problem.errors(include_input=False, include_url=False, include_context=False)
    faults.sort(key=lambda fault: fault["type"] != "missing")  # what is required comes first
    raise InvalidSettings(tuple(map(_fault_text, faults)))


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except OSError:  # it is in one that may not be read, or its name is too long
        return False


def _secrets() -> Mapping[str, str]:
    """The texts of the files of settings in the folder of secrets, by the names of the files.

    Raises InvalidSettings.
    """
    folder = os.environ.get(SECRETS_DIR)
    if not folder:
        return {}
    if not _is_folder(folder):
        raise InvalidSettings((f"{SECRETS_DIR}: must name a folder that exists",))
    known = set(map(variable_of, Settings.model_fields))
    try:
        return {
            path.name: path.read_text("utf-8").strip()
            for path in Path(folder).iterdir()
            if path.name.upper() in known and path.is_file()
        }
    except (OSError, UnicodeDecodeError):
        raise InvalidSettings((f"{SECRETS_DIR}: its files must be readable, as UTF-8",)) from None


def _by_variable(texts: Mapping[str, str]) -> dict[str, str]:
    """The texts by the names of variables, without empty ones. A name may be in small letters; one
    in capitals counts before it.
    """
    return {name.upper(): text for name, text in sorted(texts.items(), reverse=True) if text}


def unknown_variables(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Returns a warning for each variable in `environment` that begins with BURSAR_ and is no
    setting, because it may be a misspelt one.
    """
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
    """Returns the rule that a message of pydantic states, with "must" instead of pydantic's
    "should".
    """
    return re.sub(r"^(Input|String) should", "must", message.removeprefix("Value error, "))


def _fault_text(fault: ErrorDetails) -> str:
    rule = "is required" if fault["type"] == "missing" else rule_of(fault["msg"])
    if not (place := fault["loc"]):  # a rule over several fields names its variables itself
        return rule
    field = str(place[0])
    name = variable_of(field) if field in Settings.model_fields else field
    return f"{name}: {rule[:1].lower() + rule[1:]}"
