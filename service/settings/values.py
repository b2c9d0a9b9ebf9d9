"""The values that settings have, each with its rule, and the base of their groups."""

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr

MIB = 1024 * 1024
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


DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
Servers = Annotated[str, AfterValidator(_servers)]
ReadableFile = Annotated[Path, AfterValidator(_readable_file)]


class Group(BaseModel):
    """The settings of one part of the service, under their full names.

    Made without the environment, a group has the defaults and what the caller names. `Settings`
    has the fields of all groups and can be passed where a group is wanted.
    """

    # With defer_build, a command that has read all settings never builds those of single parts.
    model_config = ConfigDict(frozen=True, populate_by_name=True, defer_build=True)
