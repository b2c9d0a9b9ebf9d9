"""The group's session is kept while a poll is decided, however slow the machine is."""

import asyncio
import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import pytest
from confluent_kafka.admin import AdminClient
from structlog.testing import capture_logs

from service.apply.applier import Applier
from service.consumer.group import Source
from service.consumer.loop import Intake
from service.core import rules
from service.core.events import Rejection
from service.core.ledger import Origin
from service.database import outbox
from service.database.ledger_read import LedgerReader
from service.database.outbox import Outputs
from service.database.session import Pool
from service.messages.decode import parse
from service.settings.access import KafkaAccess
from service.settings.parts import IntakeLimits
from tests.support.guards import Unguarded, new_guard, opened_guard
from tests.support.inputs import fine_created, structured
from tests.support.topics import create_topic, produce
from tests.support.waiting import until
from tests.support.write_path import WritePath, fine

FINE = "fine-created.v1"
SECONDS_MAX = 300
OUTPUTS = Outputs(
    "t.balance-changed.v1", "t.loan-closed.v1", "t.rejected.v1", "t.operator-action.v1", "/test"
)
LIMITS = IntakeLimits(
    poll_records_max=2_000, kafka_session_timeout_ms=6_000, kafka_heartbeat_interval_ms=1_000
)
BUSY = "while True: pass"

P = ParamSpec("P")
R = TypeVar("R")


class Turns:
    """Waits in a thread for the event loop to turn; in the loop itself it would wait in vain."""

    def __init__(self) -> None:
        self._turned = threading.Event()
        self._is_stuck = False
        self._loop = asyncio.get_running_loop()

    def before(self, works: Callable[P, R]) -> Callable[P, R]:
        def waits(*arguments: P.args, **options: P.kwargs) -> R:
            self._turned.clear()
            self._loop.call_soon_threadsafe(self._turned.set)
            self._is_stuck = self._is_stuck or not self._turned.wait(5)
            assert not self._is_stuck, "the event loop does not turn meanwhile"
            return works(*arguments, **options)

        return waits


@pytest.mark.parametrize(
    ("where", "name"),
    [(rules, "fold"), (outbox, "balance_changed_value")],
    ids=["fold", "encode"],
)
async def test_the_loop_turns_while_a_poll_is_decided_and_encoded(
    path: WritePath, monkeypatch: pytest.MonkeyPatch, where: object, name: str
) -> None:
    records = [fine(fine_id=f"F-{number}") for number in range(150)]
    monkeypatch.setattr(where, name, Turns().before(getattr(where, name)))
    report = await path.take(*records)
    assert report.outcomes == {"applied": 150}


async def test_the_loop_turns_while_a_poll_is_read(pool: Pool) -> None:
    reading = Turns().before(parse)
    access = KafkaAccess(kafka_bootstrap_servers="127.0.0.1:1")
    source = Source("group", {"topic": FINE})
    applier = Applier(Unguarded(pool), LedgerReader(parse), OUTPUTS)
    intake = Intake(new_guard(pool, access), access, source, reading, applier)
    poll = [Origin("topic", 0, number, None, b"{", ()) for number in range(150)]
    records = await intake._read(poll)
    assert all(isinstance(record, Rejection) for record in records)
    assert len(records) == 150


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that take all the time they get."""
    started = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.wait()


def fines(count: int) -> Iterator[tuple[bytes, bytes]]:
    for number in range(count):
        value = structured(FINE, fine_created(fine_id=f"F-{number}"))[0]
        yield b"%d" % number, value


@pytest.mark.slow
async def test_a_backlog_on_a_loaded_machine_is_read_within_one_session(
    pool: Pool,
    bootstrap_servers: str,
    group_id: str,
    topic_prefix: str,
    kafka_admin: AdminClient,
) -> None:
    topic = create_topic(kafka_admin, topic_prefix + FINE, 4)
    produce(bootstrap_servers, topic, fines(10_000))
    access = KafkaAccess(kafka_bootstrap_servers=bootstrap_servers)
    applier = Applier(Unguarded(pool), LedgerReader(parse), OUTPUTS)
    guard = await opened_guard(pool, access, group_id, inputs=[topic])
    intake = Intake(guard, access, Source(group_id, {topic: FINE}), parse, applier, LIMITS)
    stop = asyncio.Event()
    with capture_logs() as logs, busy(20):
        task = asyncio.create_task(intake.run(stop))
        await until(lambda: pool.fetchval("SELECT count(*) >= 10000 FROM fine"), SECONDS_MAX)
        stop.set()
        await task
    events = [line["event"] for line in logs]
    assert events.count("partitions_assigned") == 1
    assert {"poll_fenced", "intake_retries"} & set(events) == set()
