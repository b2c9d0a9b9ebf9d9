"""Bad records in a row, which stop their topic, and the operator who resumes it.

They name no institution, and their topic has no other records at that time. The records of the
topic that were published behind them must wait until the operator has resumed it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from asyncpg.exceptions import LockNotAvailableError

from service.database import intake_stops
from service.database.session import Connection
from tests.simulator.history import History
from tests.simulator.instance import BAD_MAX
from tests.simulator.world import World
from tests.support.load_events import Event

SEEDS_APART = 3
CONTRACT = "export-response.v1"
MORE = 3  # behind those that stop the topic
UNNAMED = "invalid_json"  # the reason for which bad records name no institution
BAD = Event(CONTRACT, "bad", None, b"no JSON", UNNAMED)
LOCK_WAIT = "SET LOCAL lock_timeout = '10ms'"  # an instance that stands still may hold the stop
RESUMES = 0.4  # in each second


def bad_records(seed: int) -> Sequence[Event]:
    """More of them than a topic takes, in the histories of some seeds."""
    return [BAD] * (BAD_MAX + MORE) if seed % SEEDS_APART == 0 else []


def resume(world: World) -> None:
    """What an operator does when a topic is stopped, after a while."""
    topics = world.control.run(_stopped)
    if topics and world.random.random() < RESUMES and world.control.run(_resume):
        world.scheduler.note(f"  {', '.join(topics)} resumed")
        world.history.resumed.extend((len(world.history.steps), topic) for topic in topics)


def check_stops(history: History) -> None:
    """No record of a topic was decided behind so many bad ones before the topic was resumed."""
    in_a_row: Counter[str] = Counter()
    for number, step in enumerate(history.steps):
        for at, topic in history.resumed:
            if at == number:
                in_a_row[topic] = 0
        for place in step.places:
            topic, event = place[0], history.events[place]
            assert in_a_row[topic] < BAD_MAX, f"{topic} was read although it was to be stopped"
            in_a_row[topic] = in_a_row[topic] + 1 if event.reason == UNNAMED else 0


async def _stopped(connection: Connection) -> Sequence[str]:
    return [stop.key.topic for stop in await intake_stops.stops(connection)]


async def _resume(connection: Connection) -> bool:
    """Resumes all of them; False if that has to be tried again."""
    try:
        async with connection.transaction():
            await connection.execute(LOCK_WAIT)
            for stop in await intake_stops.stops(connection):
                await intake_stops.resume(connection, stop.key, 0)
    except LockNotAvailableError:
        return False
    return True
