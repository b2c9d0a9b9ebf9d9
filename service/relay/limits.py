"""The relay's bounds, what it tells of the outbox, and the errors after which it tries again."""

from dataclasses import dataclass

import asyncpg
from aiokafka.errors import KafkaError

from ..runtime.problems import Unavailable


class SendFailed(Exception):
    """A send raised for no record's and no topic's fault: a new producer, then the same again."""


# Everything stays where it is, and is tried again.
RETRIED = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
    KafkaError,
    Unavailable,
    SendFailed,
)


@dataclass(frozen=True, slots=True)
class RelayLimits:
    page_rows_max: int = 500
    page_bytes_max: int = 8 * 1024 * 1024
    batch_bytes_max: int = 512 * 1024  # of one produce batch; a topic takes 1 MiB by default
    request_bytes_max: int = 15 * 1024 * 1024  # of one record; below the largest topic's limit
    idle_ms: int = 500
    lease_seconds: int = 10
    lease_retry_ms: int = 500
    backoff_first_ms: int = 100
    backoff_ms_max: int = 5_000
    topic_retry_ms: int = 5_000
    shutdown_seconds_max: int = 10
    status_seconds: int = 5
    outbox_age_alarm_seconds: int = 60


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """By the database's clock; the age is 0 for an empty outbox."""

    rows_waiting: int
    oldest_row_age_seconds: int
    set_aside: int
