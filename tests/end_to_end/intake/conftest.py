"""A database, a topic, and intakes that read the one into the other."""

from collections.abc import AsyncIterator

import pytest
from confluent_kafka.admin import AdminClient

from service.apply.applier import Applier
from service.consumer.group import IntakePauses, Source
from service.consumer.loop import Applies, Intake
from service.database.ledger_read import LedgerReader
from service.database.outbox import Outputs
from service.database.session import Pool
from service.messages.decode import parse
from service.restore.guard import Guard
from service.runtime.telemetry import Metrics
from service.settings.access import KafkaAccess
from service.settings.parts import IntakeLimits
from tests.support.guards import Unguarded, opened_guard
from tests.support.intaking import FINE, QUICK, SHORT, Failing, MakeIntake, fines, holds, running
from tests.support.topics import create_topic, produce
from tests.support.waiting import until


@pytest.fixture
def topic(kafka_admin: AdminClient, topic_prefix: str) -> str:
    settings = {"max.message.bytes": "12000000"}
    return create_topic(kafka_admin, topic_prefix + FINE, 4, settings)


@pytest.fixture
def applier(pool: Pool, topic_prefix: str) -> Applier:
    outputs = Outputs(
        f"{topic_prefix}balance-changed.v1",
        f"{topic_prefix}loan-closed.v1",
        f"{topic_prefix}rejected.v1",
        f"{topic_prefix}operator-action.v1",
        "/test",
    )
    return Applier(Unguarded(pool), LedgerReader(parse), outputs)


@pytest.fixture
def access(bootstrap_servers: str) -> KafkaAccess:
    return KafkaAccess(
        kafka_bootstrap_servers=bootstrap_servers,
        kafka_request_timeout_ms=3_000,
        kafka_metadata_max_age_ms=1_000,
    )


@pytest.fixture
async def guard(pool: Pool, access: KafkaAccess, topic: str, group_id: str) -> Guard:
    """Of the process in which all intakes of a test run."""
    return await opened_guard(pool, access, group_id, inputs=[topic])


@pytest.fixture
async def make_intake(
    guard: Guard, access: KafkaAccess, topic: str, group_id: str, applier: Applier
) -> AsyncIterator[MakeIntake]:
    made: list[Intake] = []

    def make(
        limits: IntakeLimits = QUICK,
        latest: bool = False,
        path: Applier | Failing = applier,
        metrics: Metrics | None = None,
        pauses: IntakePauses = SHORT,
        second: Applies | None = None,
    ) -> Intake:
        source = Source(group_id, {topic: FINE}, latest)
        made.append(Intake(guard, access, source, parse, path, limits, metrics, pauses, second))
        return made[-1]

    yield make
    for intake in made:
        await intake.close()


@pytest.fixture
async def topic_read(
    pool: Pool, topic: str, make_intake: MakeIntake, bootstrap_servers: str
) -> str:
    """The topic, after an intake has applied a hundred fines of it and has stopped."""
    produce(bootstrap_servers, topic, fines(range(100)))
    async with running(make_intake()):
        await until(holds(pool, 100))
    return topic
