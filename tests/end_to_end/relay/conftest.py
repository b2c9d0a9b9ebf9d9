"""A database, a topic, and relays that send from the one to the other."""

from collections.abc import AsyncIterator

import pytest
from confluent_kafka.admin import AdminClient

from service.database.session import Pool
from service.relay.loop import Relay, RelayPauses
from service.settings.access import KafkaAccess
from service.settings.parts import RelayLimits
from tests.support.guards import opened_guard
from tests.support.relaying import APPEND_TIME, QUICK, SHORT, MakeRelay
from tests.support.topics import create_topic


@pytest.fixture
def topic(kafka_admin: AdminClient, topic_prefix: str) -> str:
    return create_topic(kafka_admin, f"{topic_prefix}balance-changed.v1", 3, APPEND_TIME)


@pytest.fixture
async def make_relay(pool: Pool, bootstrap_servers: str, topic: str) -> AsyncIterator[MakeRelay]:
    made: list[Relay] = []
    access = KafkaAccess(kafka_bootstrap_servers=bootstrap_servers, kafka_request_timeout_ms=2_000)
    guard = await opened_guard(pool, access, outputs=[topic])

    def make(limits: RelayLimits = QUICK, pauses: RelayPauses = SHORT) -> Relay:
        made.append(Relay(guard, access, f"relay-{len(made)}", limits, pauses=pauses))
        return made[-1]

    yield make
    for relay in made:
        await relay.close()
