"""A topic of bad records is stopped and its partitions pause, while the other topics are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from confluent_kafka.admin import AdminClient
from structlog.testing import capture_logs
from structlog.typing import EventDict

from service.apply.applier import Applier
from service.apply.operator_actions import Justification
from service.consumer import membership
from service.consumer.group import Source
from service.consumer.loop import Intake
from service.database import intake_stops
from service.database.ledger_read import LedgerReader
from service.database.session import Pool
from service.messages.decode import parse
from service.operations.intake_stops import resume
from service.restore.guard import Guard
from service.settings.access import KafkaAccess
from service.settings.parts import ApplyLimits, IntakeLimits
from tests.support.guards import Unguarded
from tests.support.inputs import bursar_payment, structured
from tests.support.intaking import SHORT, fines, holds, running
from tests.support.topics import create_topic, produce
from tests.support.waiting import until

PAYMENT = "bursar-payment.v1"
MAX = 4
# A session that a loaded machine does not lose.
LIMITS = IntakeLimits(poll_wait_ms=50, kafka_session_timeout_ms=60_000)
WHY = Justification("tester", "a test")


@pytest.fixture
def payments_topic(kafka_admin: AdminClient, topic_prefix: str) -> str:
    return create_topic(kafka_admin, topic_prefix + PAYMENT, 2)


@pytest.fixture
def intake(
    pool: Pool,
    guard: Guard,
    access: KafkaAccess,
    topic: str,
    payments_topic: str,
    group_id: str,
    applier: Applier,
    monkeypatch: pytest.MonkeyPatch,
) -> Intake:
    monkeypatch.setattr(membership, "STOP_MS", 100)
    limits = ApplyLimits(bad_records_in_a_row_max=MAX)
    stopping = Applier(Unguarded(pool), LedgerReader(parse), applier.outputs, limits)
    source = Source(group_id, {topic: "fine-created.v1", payments_topic: PAYMENT})
    return Intake(guard, access, source, parse, stopping, LIMITS, None, SHORT)


def payments(numbers: Iterable[int]) -> Iterator[tuple[bytes, bytes]]:
    for number in numbers:
        data = bursar_payment(payment_id=f"P-{number:02}", fine_id=f"G-{number}")
        yield b"key", structured(PAYMENT, data)[0]


@pytest.mark.fault("stopped-topic")
async def test_a_stopped_topic_waits_in_kafka_and_the_other_is_read_on(
    intake: Intake,
    applier: Applier,
    pool: Pool,
    topic: str,
    payments_topic: str,
    bootstrap_servers: str,
) -> None:
    produce(bootstrap_servers, payments_topic, [(b"key", b"no JSON")] * MAX)
    with capture_logs() as logs:
        async with running(intake):
            await until(holds(pool, 1, "intake_stop"))
            assigned = assignments(logs)
            produce(bootstrap_servers, payments_topic, payments(range(30)))
            for turn in range(1, 4):
                produce(bootstrap_servers, topic, fines(range(40 * turn - 40, 40 * turn)))
                await until(holds(pool, 40 * turn))
                assert intake.problem() is None
            assert await pool.fetchval("SELECT count(*) FROM payment") == 0
            read = "SELECT sum(next_offset) FROM consumer_offset WHERE topic = $1"
            assert await pool.fetchval(read, payments_topic) == MAX
            async with pool.acquire() as connection:
                (stop,) = await intake_stops.stops(connection)
            assert (await resume(applier, stop, WHY, None, MAX)).done
            await until(holds(pool, 30, "payment"))
    order = await pool.fetch("SELECT id FROM parked ORDER BY arrival")
    assert [row["id"] for row in order] == [f"P-{number:02}" for number in range(30)]
    assert assignments(logs) == assigned  # the member has stayed in its group


def assignments(logs: list[EventDict]) -> int:
    return [entry["event"] for entry in logs].count("partitions_assigned")
