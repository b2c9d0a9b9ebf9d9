"""One step at a time: publish, wait until the service is through, compare with what must be."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from rich.progress import Progress, TaskID

from demo.expected import Balance, Expected
from demo.outputs import Outputs
from demo.scene import PATRONS, Patron
from demo.world import DemoFailed, World, check_alive
from tests.support.services.process import GuardedProcess

STEP_SECONDS_MAX = 60.0
READ_MS = 50
ACCOUNTS = {
    (patron.college.institution_id, patron.patron_id, patron.college.currency): patron
    for patron in PATRONS
}
REGISTRY_FRAME = b"\0\0\0\0\x01"  # before the value: a zero byte and the schema's number
TYPE = "org.bursar-bridge.{}.v1"


@dataclass(frozen=True)
class Step:
    """A line of the story: what happens, and what the service must make of it."""

    title: str
    act: Callable[[Stage], Awaitable[None]]
    rejected: int = 0
    parked: int = 0


@dataclass(frozen=True)
class Done:
    """A step as it went: balances by the events, before and after, and the fines of the events."""

    title: str
    before: dict[Patron, Balance]
    after: dict[Patron, Balance]
    fines: dict[Patron, list[str]]
    events: int
    rejected: int
    parked: int


@dataclass
class Stage:
    """Everything a step needs. `problems` has a line for whatever differs."""

    world: World
    service: GuardedProcess
    producer: AIOKafkaProducer
    consumer: AIOKafkaConsumer
    database: asyncpg.Connection[asyncpg.Record]
    outputs: Outputs
    expected: Expected = field(default_factory=Expected)
    problems: list[str] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    _sent: dict[tuple[str, int], int] = field(default_factory=dict)
    _rejected: int = 0

    async def play(self, step: Step, progress: Progress) -> None:
        """The step's act, then the wait for all it causes, then the comparison."""
        task = progress.add_task(step.title, total=None, result="")
        before, events = self.balances(), len(self.outputs.changes)
        await step.act(self)
        expected = self.expected.events - events
        progress.update(task, total=max(1, expected), result=f"0 of {expected} events")
        await self._until_done(progress, task, events)
        read = len(self.outputs.changes) - events
        result = f"{read} of {expected} events" if expected or read else "no event, as it must be"
        progress.update(task, completed=read if expected else 1, result=result)
        self._rejected += step.rejected
        parked = await self.database.fetchval("SELECT count(*) FROM parked")
        self._compare(step, parked)
        after = self.balances()
        fines = self.fines(events)
        self.done.append(Done(step.title, before, after, fines, read, step.rejected, parked))

    async def publish(self, name: str, data: dict[str, object]) -> None:
        """In binary mode: the attributes are headers, the value is the data."""
        await self._send(name, json_bytes(data), event_headers(name))

    async def publish_structured(self, name: str, data: dict[str, object]) -> None:
        """In structured mode, for writers that cannot set headers: one JSON object says it all."""
        event = {**_attributes(name), "datacontenttype": "application/json", "data": data}
        await self._send(name, json_bytes(event), [])

    async def publish_framed(self, name: str, data: dict[str, object]) -> None:
        """In binary mode as a schema registry's client writes it, and without the optional time."""
        headers = [header for header in event_headers(name) if header[0] != "ce_time"]
        await self._send(name, REGISTRY_FRAME + json_bytes(data), headers)

    async def publish_bytes(self, name: str, value: bytes) -> None:
        """Publishes a value without headers and unchecked, even if it is no valid event."""
        await self._send(name, value, [])

    def balances(self) -> dict[Patron, Balance]:
        """What the events say, patron by patron."""
        balances = self.outputs.balances()
        return {patron: balances[key] for key, patron in ACCOUNTS.items() if key in balances}

    def fines(self, events: int) -> dict[Patron, list[str]]:
        """Each patron's fines in the events after so many, in their order, each once."""
        fines: dict[Patron, list[str]] = {}
        for change in (record.json for record in self.outputs.changes[events:]):
            account = (change["institution_id"], change["patron_id"], change["currency"])
            known = fines.setdefault(ACCOUNTS[account], [])
            if change["fine"]["fine_id"] not in known:
                known.append(change["fine"]["fine_id"])
        return fines

    async def _send(self, name: str, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        topic = self.world.topic(name)
        sent = await self.producer.send_and_wait(topic, value, headers=headers)
        self._sent[(topic, sent.partition)] = sent.offset + 1

    async def _until_done(self, progress: Progress, task: TaskID, events: int) -> None:
        """Until the service took every input, its outbox is empty and we have read all of it.

        In this order it holds also for inputs that have no effect.
        """
        deadline = time.monotonic() + STEP_SECONDS_MAX
        waits_for, ends = "take all records", dict[object, int]()
        while True:
            self.outputs.take(await self.consumer.getmany(timeout_ms=READ_MS))
            progress.update(task, completed=len(self.outputs.changes) - events)
            if waits_for == "take all records" and await self._all_taken():
                waits_for = "empty its outbox"
            if waits_for == "empty its outbox" and await self._outbox_is_empty():
                waits_for = "have its events read"
                ends = await self.consumer.end_offsets(self.consumer.assignment())
            if ends and all([await self.consumer.position(p) >= end for p, end in ends.items()]):
                return
            check_alive(self.service)
            if time.monotonic() > deadline:
                raise DemoFailed(
                    f"after {STEP_SECONDS_MAX:.0f} s the service did not {waits_for}; "
                    f"see {self.service.log}"
                )

    async def _all_taken(self) -> bool:
        rows = await self.database.fetch(
            "SELECT topic, partition, next_offset FROM consumer_offset"
        )
        taken = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
        return all(taken.get(place, 0) >= offset for place, offset in self._sent.items())

    async def _outbox_is_empty(self) -> bool:
        return not await self.database.fetchval("SELECT EXISTS (SELECT FROM outbox)")

    def _compare(self, step: Step, parked: int) -> None:
        pairs = (
            ("balance-changed events", self.expected.events, len(self.outputs.changes)),
            ("rejected records", self._rejected, len(self.outputs.records["rejected"])),
            ("parked records", step.parked, parked),
        )
        for what, expected, actual in pairs:
            if expected != actual:
                self.problems.append(f"{step.title}: {what}: {actual} instead of {expected}")
        expected_balances, balances = self.expected.balances(), self.balances()
        for patron in PATRONS:
            if expected_balances.get(patron) != balances.get(patron):
                self.problems.append(
                    f"{step.title}: balance of {patron.name}: "
                    f"{balances.get(patron)} instead of {expected_balances.get(patron)}"
                )


def _attributes(name: str) -> dict[str, str]:
    return {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": "/demo",
        "type": TYPE.format(name),
        "time": datetime.now(UTC).isoformat(),
    }


def event_headers(name: str) -> list[tuple[str, bytes]]:
    """A new event's attributes as headers, for binary mode."""
    return [(f"ce_{key}", value.encode()) for key, value in _attributes(name).items()]


def json_bytes(value: object) -> bytes:
    """The value as JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False).encode()
