"""Makes, starts and closes Kafka clients; their settings were tested against failing brokers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.helpers import create_ssl_context
from pydantic import SecretStr

from ..runtime.problems import Unavailable
from ..runtime.process import keep_failed_connections_small
from ..runtime.waiting import is_cancelled
from ..settings.access import KafkaAccess
from ..settings.parts import IntakeLimits
from . import header_names
from .assignor import new_assignor
from .causes import last_problem, why_unusable

CLIENT_ID = "bursar-bridge"
PARTITION_FETCH_BYTES_MAX = 1024 * 1024
FETCH_WAIT_MS = 500
STOP_SECONDS_MAX = 2
# Of a producer: for its own end, then for its sender and its connections beside each other.
HARD_CLOSE_SECONDS_MAX = 1

header_names.install()

Client = TypeVar("Client", AIOKafkaConsumer, AIOKafkaProducer, AIOKafkaAdminClient)


class KafkaUnavailable(Unavailable):
    """Raised if a Kafka client could not start. The text of the exception has the reason, which the
    client itself only writes to its log.
    """


def options(access: KafkaAccess) -> dict[str, object]:
    """Returns the options that every Kafka client of the service gets. Raises OSError or
    ssl.SSLError if a certificate or key file cannot be used.
    """
    common: dict[str, object] = {
        "bootstrap_servers": [
            server.strip() for server in access.kafka_bootstrap_servers.split(",")
        ],
        "client_id": CLIENT_ID,
        "request_timeout_ms": access.kafka_request_timeout_ms,
        "metadata_max_age_ms": access.kafka_metadata_max_age_ms,
        "security_protocol": access.kafka_protocol,
    }
    if access.kafka_protocol.startswith("SASL"):
        common |= {
            "sasl_mechanism": access.kafka_mechanism,
            "sasl_plain_username": access.kafka_user,
            "sasl_plain_password": _secret(access.kafka_password),
        }
    if access.kafka_protocol.endswith("SSL"):
        keep_failed_connections_small()
        common["ssl_context"] = create_ssl_context(
            cafile=_text(access.kafka_ca_file),
            certfile=_text(access.kafka_certificate_file),
            keyfile=_text(access.kafka_key_file),
            # Without a password, a key that is encrypted would be asked for on the terminal.
            password=_secret(access.kafka_key_password) or "",
        )
    return common


def new_producer(
    access: KafkaAccess, request_bytes_max: int, batch_bytes_max: int
) -> AIOKafkaProducer:
    """An idempotent producer. While no broker can be reached, the producer waits without a time
    limit and does not fail, because a delay loses no record.
    """
    return AIOKafkaProducer(
        **options(access),
        acks="all",
        enable_idempotence=True,
        linger_ms=5,
        max_batch_size=batch_bytes_max,
        max_request_size=request_bytes_max,
    )


def new_consumer(access: KafkaAccess, group_id: str, limits: IntakeLimits) -> AIOKafkaConsumer:
    """Returns a consumer for the group that has no subscription yet. The consumer never chooses an
    offset itself: the caller has to seek.
    """

    def generation() -> int:
        # A private name of the pinned client: a test holds that it is there.
        return int(consumer._coordinator.generation)

    consumer = AIOKafkaConsumer(
        **options(access),
        group_id=group_id,
        auto_offset_reset="none",
        enable_auto_commit=False,
        isolation_level="read_committed",
        # One assignor alone, and no group_instance_id: two members with one id both own everything.
        partition_assignment_strategy=(new_assignor(generation),),
        session_timeout_ms=limits.kafka_session_timeout_ms,
        heartbeat_interval_ms=limits.kafka_heartbeat_interval_ms,
        rebalance_timeout_ms=limits.kafka_session_timeout_ms,
        max_poll_interval_ms=limits.kafka_max_poll_interval_ms,
        fetch_max_bytes=limits.poll_bytes_max,
        max_partition_fetch_bytes=PARTITION_FETCH_BYTES_MAX,
    )
    return consumer


def new_reader(
    access: KafkaAccess, group_id: str | None = None, fetch_wait_ms: int = FETCH_WAIT_MS
) -> AIOKafkaConsumer:
    """Returns a consumer that does not join a group. The consumer can ask for the committed offsets
    of the group `group_id`. If a broker has no new records, it answers a fetch after
    `fetch_wait_ms` milliseconds.
    """
    return AIOKafkaConsumer(
        **options(access),
        group_id=group_id,
        fetch_max_wait_ms=fetch_wait_ms,
        auto_offset_reset="none",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )


def new_admin(access: KafkaAccess) -> AIOKafkaAdminClient:
    """Returns an administration client, with which topics and groups are read and topics created;
    it is not started yet.
    """
    return AIOKafkaAdminClient(**options(access))


async def start(client: Client) -> Client:
    """Starts a client and returns it; raises KafkaUnavailable with the cause if no broker can be
    used.
    """
    started = False
    with last_problem() as last:
        try:
            await client.start()
            started = True
        except (KafkaError, OSError) as problem:
            raise KafkaUnavailable(why_unusable(problem, last.text)) from problem
        finally:
            if not started:
                await close_client(client)
    return client


@asynccontextmanager
async def running(client: Client) -> AsyncIterator[Client]:
    """Starts a consumer or administration client for the `async with` block, and closes it at the
    end. Raises KafkaUnavailable.
    """
    started = await start(client)
    try:
        yield started
    finally:
        await close_client(started)


async def close_client(client: Client, seconds_max: int = STOP_SECONDS_MAX) -> None:
    """Closes a consumer or administration client within `seconds_max` seconds, whatever state it is
    in.
    """
    ending = client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop()
    await _within(ending, seconds_max)


async def hard_close(producer: AIOKafkaProducer) -> None:
    """Ends a producer for certain, even if the brokers do not answer. If the producer's `stop` were
    only cancelled after a time limit, its background task would continue to send.

    Records that were already sent to the network may still reach the broker; if the next producer
    sends them again, readers recognise the copies by the sequence number in the record. If a broker
    does not answer, the call takes up to twice HARD_CLOSE_SECONDS_MAX seconds.
    """
    await _within(producer.stop(), HARD_CLOSE_SECONDS_MAX)
    # A private name of the pinned client: a test holds that it is there.
    endings = (producer._sender.close(), producer.client.close())
    await asyncio.gather(*(_within(ending, HARD_CLOSE_SECONDS_MAX) for ending in endings))


async def _within(ending: Awaitable[object], seconds_max: int) -> None:
    """The client cancels tasks of its own, and may let out a cancellation that nobody asked for."""
    try:
        with suppress(KafkaError, OSError, TimeoutError):
            await asyncio.wait_for(ending, seconds_max)
    except asyncio.CancelledError:
        if is_cancelled():
            raise


def _secret(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
