"""Makes, starts and ends Kafka clients, with settings that were tested against faults of the
brokers.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.helpers import create_ssl_context

from ..runtime.problems import Unavailable
from ..runtime.waiting import is_cancelled
from ..settings.access import KafkaAccess
from ..settings.parts import IntakeLimits
from . import header_names
from .assignor import new_assignor

CLIENT_ID = "bursar-bridge"
PARTITION_FETCH_BYTES_MAX = 1024 * 1024
STOP_SECONDS_MAX = 2
# Of a producer: for its own end, then for its sender and its connections beside each other.
HARD_CLOSE_SECONDS_MAX = 1

# How the client logs that it cannot connect, and what the cause means; tried in this order, since
# a message may hold several of these words.
_CONNECTION_MESSAGE = re.compile(
    r'Unable connect to "(?P<address>.+:\d+)": ?(?P<cause>.*)', re.DOTALL
)
_CAUSES = (
    (r"CERTIFICATE_VERIFY_FAILED", "the broker's certificate is not accepted{}"),
    (r"\[SSL|SSLError|\[X509", "there is no TLS session{}"),
    (r"Sasl|SASL|Authentication", "the broker refuses the user{}"),
    (r"Errno -\d+\]|gaierror|nodename", "the host cannot be resolved"),
    (r"Errno 111\]|Connection refused|Connect call failed", "nobody listens there"),
    (r"closed$", "the broker ends the connection: does BURSAR_KAFKA_PROTOCOL fit it?"),
    (r"^$|Timeout", "the broker does not answer: does BURSAR_KAFKA_PROTOCOL fit it?"),
)

header_names.install()

Client = TypeVar("Client", AIOKafkaConsumer, AIOKafkaProducer, AIOKafkaAdminClient)


class KafkaUnavailable(Unavailable):
    """A client could not start. The text has the reason, which the client itself only logs."""


class LastProblem(logging.Handler):
    """Remembers the latest error line of the Kafka client, because its exceptions say less than its
    log.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.text: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Remembers the first line of the text, shortened."""
        self.text = record.getMessage().splitlines()[0][:300]


def options(access: KafkaAccess) -> dict[str, object]:
    """The options of every client. Raises OSError or ssl.SSLError for an unusable file."""
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
        assert access.kafka_password is not None, "the settings require it with SASL"
        common |= {
            "sasl_mechanism": access.kafka_mechanism,
            "sasl_plain_username": access.kafka_user,
            "sasl_plain_password": access.kafka_password.get_secret_value(),
        }
    if access.kafka_protocol.endswith("SSL"):
        common["ssl_context"] = create_ssl_context(
            cafile=_text(access.kafka_ca_file),
            certfile=_text(access.kafka_certificate_file),
            keyfile=_text(access.kafka_key_file),
        )
    return common


def new_producer(
    access: KafkaAccess, request_bytes_max: int, batch_bytes_max: int
) -> AIOKafkaProducer:
    """An idempotent producer. While brokers cannot be reached it waits without a limit, because a
    delay is no failure.
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
    """A member of the group, without a subscription yet; it never chooses an offset itself."""

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


def new_reader(access: KafkaAccess, group_id: str | None = None) -> AIOKafkaConsumer:
    """A consumer that is a member of no group. `group_id` is the group whose committed offsets it
    uses.
    """
    return AIOKafkaConsumer(
        **options(access),
        group_id=group_id,
        auto_offset_reset="none",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )


def new_admin(access: KafkaAccess) -> AIOKafkaAdminClient:
    """A client for topics and groups, not started yet."""
    return AIOKafkaAdminClient(**options(access))


async def start(client: Client) -> Client:
    """Starts a client; raises KafkaUnavailable with the cause if no broker can be used."""
    last = LastProblem()
    logger = logging.getLogger("aiokafka")
    logger.addHandler(last)
    started = False
    try:
        await client.start()
        started = True
    except (KafkaError, OSError) as problem:
        raise KafkaUnavailable(why_unusable(problem, last.text)) from problem
    finally:
        logger.removeHandler(last)
        if not started:
            await close_client(client)
    return client


def why_unusable(problem: Exception, logged: str | None) -> str:
    """Returns a sentence that says why no broker can be used.

    `logged` is the last line that the client has logged, since its exceptions only say that no
    broker was reached.
    """
    match = _CONNECTION_MESSAGE.match(logged or "")
    if match is None:
        return f"{problem} ({logged})" if logged else str(problem)
    cause = match["cause"].strip()
    for pattern, words in _CAUSES:
        if re.search(pattern, cause):
            return f"{words.format(f' ({cause})')}: Kafka at {match['address']}"
    return f"{cause}: Kafka at {match['address']}"


@asynccontextmanager
async def running(client: Client) -> AsyncIterator[Client]:
    """A consumer or admin client that runs inside the block. Raises KafkaUnavailable."""
    started = await start(client)
    try:
        yield started
    finally:
        await close_client(started)


async def close_client(client: Client, seconds_max: int = STOP_SECONDS_MAX) -> None:
    """Closes a consumer or admin client within `seconds_max` seconds, whatever its state."""
    ending = client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop()
    await _within(ending, seconds_max)


async def hard_close(producer: AIOKafkaProducer) -> None:
    """Ends a producer in any case. After a `stop` with a time limit alone, its sender task would
    live on and send.

    Records that were already given to the network may still arrive; readers drop them by their
    sequence. If a broker does not answer, the call takes twice HARD_CLOSE_SECONDS_MAX.
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


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
