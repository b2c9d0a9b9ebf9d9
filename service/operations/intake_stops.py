"""Lists the input topics that were stopped after many bad records, and resumes them when an
operator decides so; the service then processes the records that waited, in the order of their
arrival (rules.md, 7).
"""

import asyncio
from collections.abc import Sequence

from ..apply.applier import Applier
from ..apply.isolation import unread
from ..apply.operator_actions import (
    Decision,
    DecisionNotPossible,
    DecisionResult,
    Justification,
    Subject,
    carry_out,
)
from ..apply.poll import Poll, Waited
from ..apply.tally import Tally, TallyMetric
from ..core.breaker import StopKey, allowance
from ..core.events import FailedRecord, Incoming, Rejection
from ..core.ledger import Origin
from ..core.words import Wait
from ..database import intake_stops
from ..database.intake_stops import StopState
from ..database.session import Connection, run_in_thread
from ..messages.decode import parse
from ..runtime.waiting import unless_set, wait_any
from .names import contract_of

PAGE_RECORDS = 500
INTERVAL_MS = 2_000
NOT_STOPPED = "is not stopped, or was resumed already"


async def find(
    connection: Connection, topic: str | None, institution_id: str | None
) -> list[StopState]:
    """Returns the stops of a topic, which may be named with or without its prefix, and of an
    institution; None stands for all topics or all institutions.
    """
    return [
        stop
        for stop in await intake_stops.stops(connection)
        if (topic is None or stop.key.topic.endswith(topic))
        and institution_id in (None, stop.key.institution_id)
    ]


def subject_of(key: StopKey) -> Subject:
    """Returns the names and values by which a recorded operator decision refers to a stop."""
    if key.is_of_topic:
        return {"topic": key.topic}
    return {"topic": key.topic, "institution_id": key.institution_id}


async def resume(
    applier: Applier,
    stop: StopState,
    justification: Justification,
    bad_records_max: int | None,
    bad_max: int,
) -> DecisionResult:
    """Ends the stop of a topic. When a stop has ended, the service processes the records that
    waited because of it, and begins a new count of bad records.

    The topic is stopped again after `bad_max` bad records in a row, or after `bad_records_max` if
    the operator has given such a number.
    """
    key = stop.key
    count = 0 if bad_records_max is None else allowance(bad_records_max, bad_max)

    async def work(connection: Connection) -> str:
        if not await intake_stops.resume(connection, key, count):
            raise DecisionNotPossible(NOT_STOPPED)
        if key.is_of_topic:
            return "resumed"
        return f"resumed, records that wait: {stop.records}"

    details = {} if bad_records_max is None else {"bad_records_max": bad_records_max}
    institution_id = None if key.is_of_topic else key.institution_id
    decision = Decision("intake_resume", institution_id, subject_of(key), justification, details)
    return await carry_out(applier, decision, work)


class TakeStopped:
    """Processes the records that were stored while a topic was stopped, once a person has resumed
    the topic.

    Several instances of the service may process the stored records of a topic: they take turns,
    page by page. Records that arrive meanwhile are stored behind the earlier ones, and the stop
    ends when no stored record is left.
    """

    def __init__(self, applier: Applier) -> None:
        self._applier = applier

    async def run(self, stop: asyncio.Event) -> None:
        """Every two seconds processes the stored records of resumed topics, until `stop` is set.
        Raises what the database raises.
        """
        while not stop.is_set():
            await unless_set(self.run_once(), stop)
            await wait_any((stop,), INTERVAL_MS)

    async def run_once(self) -> int:
        """Processes the stored records of all topics that a person has resumed; returns the number
        of records.
        """
        async with self._applier.writer.pool.acquire() as connection:
            keys = await intake_stops.resumed_stops(connection)
        return sum([await self._take(key) for key in keys])

    async def _take(self, key: StopKey) -> int:
        """Page by page, until nothing waits or bad records stop the topic again."""
        taken = 0
        while (poll := await self._next_page(key)).records:
            report = await self._applier.apply(poll)
            decided = [n for name, n in report.outcomes.items() if not name.startswith("unparked:")]
            taken += sum(decided)
            await self._count(sum(decided))
            if report.held:
                return taken
        # Records that came after the last page are taken by the next turn.
        await self._applier.run_in_transaction(
            lambda connection: intake_stops.end_stop(connection, key)
        )
        return taken

    async def _count(self, records: int) -> None:
        tally = Tally()
        tally.add(TallyMetric.UNPARKED, (Wait.INTAKE_STOPPED.value,), records)
        await self._applier.tally_sink.count(self._applier.writer, tally)

    async def _next_page(self, key: StopKey) -> Poll:
        async with self._applier.writer.pool.acquire() as connection:
            waiting = await intake_stops.next_stopped(connection, key, PAGE_RECORDS)
            arrivals: dict[tuple[str, int, int], int] = {}
            origins: list[Origin] = []
            for arrival, origin in waiting.items():
                if origin[:3] in arrivals:  # the topic was made anew meanwhile
                    break
                arrivals[origin[:3]] = arrival
                origins.append(origin)
            records = await run_in_thread(connection, len(origins), lambda: _read(origins))
        return Poll(tuple(records), (), waited=Waited(key, arrivals))


def _read(origins: Sequence[Origin]) -> list[Incoming | Rejection | FailedRecord]:
    return [_read_record(contract_of(origin.topic), origin) for origin in origins]


def _read_record(contract: str, origin: Origin) -> Incoming | Rejection | FailedRecord:
    try:
        return parse(contract, origin)
    except Exception as problem:  # noqa: BLE001 - the record is parked, with its bytes
        return unread(contract, origin, problem)
