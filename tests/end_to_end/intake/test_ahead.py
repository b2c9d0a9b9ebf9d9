"""While there is a backlog, the next polls are taken and parsed beside the one that is applied, and
two polls of different partitions are applied beside each other.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from service.apply.applier import Applier
from service.apply.isolation import Record
from service.apply.poll import PartitionHold, Poll, Report
from service.consumer.membership import Member
from service.database.ledger_read import LedgerReader
from service.database.session import Pool
from service.messages.decode import parse
from service.runtime.waiting import Backoff
from tests.support.guards import Unguarded
from tests.support.intaking import (
    QUICK,
    Failing,
    MakeIntake,
    check_each_once,
    fines,
    holds,
    running,
)
from tests.support.topics import produce
from tests.support.waiting import until

POLL = 10
COUNT = 60
BOTH = 2
TURNS_MAX = 100
MANY = 400
LIMITS = QUICK.model_copy(update={"poll_records_max": POLL})


class Stepwise:
    """The real write path. It keeps a poll in hand until the next one is taken, leaves the first
    record of some polls, and notes the offsets that it applies in each partition.
    """

    def __init__(self, applier: Applier) -> None:
        self._applier = applier
        self.is_ahead = asyncio.Event()
        self.polls = 0
        self.held = 0
        self.offsets: dict[int, list[int]] = {}

    async def apply(self, poll: Poll) -> Report:
        self.polls += 1
        if self.polls == 2:
            async with asyncio.timeout(30):
                await self.is_ahead.wait()
        if self.polls in (2, 4):
            self.held += 1
            return self._left(poll)
        for record in poll.records:
            self.offsets.setdefault(record.origin.partition, []).append(record.origin.offset)
        return await self._applier.apply(poll)

    def _left(self, poll: Poll) -> Report:
        """Nothing of the poll is applied: each of its partitions is held at its next record."""
        held = {
            record.origin[:2]: PartitionHold(TimeoutError(), 0, is_tried=self.held == 1)
            for record in poll.records
        }
        return replace(Report(assignments=poll.assignments), held=held)


def numbers() -> Iterator[int]:
    yield from range(COUNT)


async def test_what_was_taken_ahead_is_read_again_where_a_partition_is_held(
    make_intake: MakeIntake,
    applier: Applier,
    pool: Pool,
    topic: str,
    bootstrap_servers: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Backoff, "next_ms", lambda _: 1)
    produce(bootstrap_servers, topic, fines(numbers()))
    path = Stepwise(applier)
    intake = make_intake(limits=LIMITS, path=path)
    taken, take = 0, intake._take

    async def noted(member: Member, turn: int | None = None) -> Sequence[Record]:
        nonlocal taken
        records = await take(member, turn)
        taken += bool(records)
        if taken > path.polls == 2:
            path.is_ahead.set()
        return records

    monkeypatch.setattr(intake, "_take", noted)
    async with running(intake):
        await until(holds(pool, COUNT))
    await check_each_once(pool, COUNT)
    assert path.held == 2
    for offsets in path.offsets.values():
        assert offsets == list(range(len(offsets)))


class Together:
    """The real write path of one of two. It lets a poll wait until the other has one in hand, so
    long as there is a backlog, and notes how many polls have met another one.
    """

    def __init__(self, applier: Applier, in_hand: set[int], number: int) -> None:
        self._applier = applier
        self._in_hand = in_hand
        self._number = number
        self.met = 0

    async def apply(self, poll: Poll) -> Report:
        self._in_hand.add(self._number)
        try:
            for _ in range(TURNS_MAX):
                await asyncio.sleep(0)
                if len(self._in_hand) == BOTH:
                    self.met += 1
                    break
            return await self._applier.apply(poll)
        finally:
            self._in_hand.discard(self._number)


async def test_two_polls_of_different_partitions_are_applied_beside_each_other(
    make_intake: MakeIntake,
    applier: Applier,
    pool: Pool,
    topic: str,
    bootstrap_servers: str,
) -> None:
    produce(bootstrap_servers, topic, fines(numbers()))
    in_hand: set[int] = set()
    other = Applier(Unguarded(pool), LedgerReader(parse), applier.outputs)
    first, second = Together(applier, in_hand, 1), Together(other, in_hand, 2)
    async with running(make_intake(limits=LIMITS, path=first, second=second)):
        await until(holds(pool, COUNT))
    await check_each_once(pool, COUNT)
    assert first.met > 0
    assert second.met > 0


async def test_a_poll_that_fails_beside_another_is_read_again_and_the_other_is_not_lost(
    make_intake: MakeIntake,
    applier: Applier,
    pool: Pool,
    topic: str,
    bootstrap_servers: str,
) -> None:
    produce(bootstrap_servers, topic, fines(range(MANY)))
    second = Failing(Applier(Unguarded(pool), LedgerReader(parse), applier.outputs), 1, 1)
    with capture_logs():
        async with running(make_intake(limits=LIMITS, path=applier, second=second)):
            await until(holds(pool, MANY))
    assert (second.before, second.after) == (0, 0)
    await check_each_once(pool, MANY)
