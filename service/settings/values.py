"""The types of the values that settings may have, each with its validation, and the base class of
the groups of settings.
"""

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr

MIB = 1024 * 1024
AUTO = "auto"
PROCESSES_MAX = 64
PROCESSES_RULE = f"must be {AUTO} or a number from 1 to {PROCESSES_MAX}"
_SERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")

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
    try:
        is_file = value.is_file()
    except OSError:  # its folder may not be read, or the name is too long
        is_file = False
    if not is_file:
        raise ValueError("must name a file that exists")
    return value


def checked_processes(value: str) -> str:
    """Returns the number of processes as given, if it is `auto` or a number from 1 to 64. Raises
    ValueError.
    """
    if value != AUTO and not (value.isdecimal() and 1 <= int(value) <= PROCESSES_MAX):
        raise ValueError(PROCESSES_RULE)
    return value


DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
Servers = Annotated[str, AfterValidator(_servers)]
ReadableFile = Annotated[Path, AfterValidator(_readable_file)]
Processes = Annotated[str, AfterValidator(checked_processes)]


class Group(BaseModel):
    """Base class of a group of settings that belong to one part of the service; fields have the
    full names of the settings.

    When a group is constructed directly, it does not read the environment: fields that the caller
    does not name have their defaults. `Settings` inherits from all groups, so it can be passed
    wherever one group is expected.
    """

    # With defer_build, a command that has read all settings never builds those of single parts.
    model_config = ConfigDict(frozen=True, populate_by_name=True, defer_build=True)
