"""Processes of one consumer group: each topic is spread over them, whoever comes and goes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from service.kafka.topics import INPUTS
from tests.support import inputs
from tests.support.older_release import extract_older_release
from tests.support.process import Site
from tests.support.topics import group_assignment, produce

FINE = "fine-created.v1"
PARTITIONS = 12
SECONDS_MAX = 60
EVEN = {1: [12], 2: [6, 6], 3: [4, 4, 4]}


class Stream:
    """Fines that go on coming: each `send` has fines that no other one had."""

    def __init__(self, site: Site) -> None:
        self.sent = 0
        self._site = site

    def send(self, count: int = 500) -> None:
        numbers = range(self.sent, self.sent + count)
        produce(self._site.servers, self._site.topic(FINE), self._fines(numbers))
        self.sent += count

    async def check_applied_once(self) -> None:
        """No fine is missing, no fine has a second transaction, and the books agree."""
        await self._site.until_idle(self.sent)
        (counts,) = await self._site.rows(
            "SELECT (SELECT count(*) FROM fine) AS fines, (SELECT count(*) FROM rejected) AS bad,"
            " (SELECT count(*) FROM ledger_transaction) AS transactions"
        )
        assert counts == {"fines": self.sent, "bad": 0, "transactions": self.sent}
        assert await self._site.command("reconcile")

    @staticmethod
    def _fines(numbers: range) -> Iterator[tuple[bytes, bytes]]:
        for number in numbers:
            patron = {"patron_id": f"P-{number % 50}", "name": "Doe", "user_group": "STUDENT"}
            fine = inputs.fine_created(fine_id=f"F-{number}", patron={**patron, "identifiers": []})
            yield b"%d" % number, inputs.structured(FINE, fine)[0]


@pytest.fixture
async def stream(site: Site) -> Stream:
    await site.command("migrate")
    await site.command("topics", "create", "--partitions", str(PARTITIONS))
    return Stream(site)


async def until_even(admin: AdminClient, site: Site, members: int) -> None:
    """Each topic's partitions are spread evenly over so many members."""

    async def is_even() -> bool:
        assignment = await asyncio.to_thread(group_assignment, admin, site.group)
        return len(assignment) == members and all(
            sorted(counts[site.topic(name)] for counts in assignment) == EVEN[members]
            for name in INPUTS
        )

    await site.until(is_even, SECONDS_MAX)


async def test_each_topic_is_spread_over_the_processes_that_come_and_go(
    site: Site, stream: Stream, kafka_admin: AdminClient
) -> None:
    await site.start("one")
    stream.send()
    await site.start("two")
    stream.send()
    await until_even(kafka_admin, site, 2)
    stream.send()
    await site.stop("one")
    stream.send()
    await until_even(kafka_admin, site, 1)
    await stream.check_applied_once()


@pytest.mark.slow
async def test_three_processes_one_of_which_is_killed_lose_and_double_nothing(
    site: Site, stream: Stream, kafka_admin: AdminClient
) -> None:
    for members, name in enumerate(("one", "two", "three"), 1):
        await site.start(name)
        stream.send(2_000)
        await until_even(kafka_admin, site, members)
    stream.send(2_000)
    await site.kill("one")  # it was the leader
    stream.send(2_000)
    await until_even(kafka_admin, site, 2)
    await site.start("four")
    await until_even(kafka_admin, site, 3)
    stream.send(2_000)
    await site.kill("four")
    await site.stop("two")
    await until_even(kafka_admin, site, 1)
    await stream.check_applied_once()


async def test_the_release_before_may_be_in_the_group(
    site: Site, stream: Stream, kafka_admin: AdminClient, tmp_path: Path
) -> None:
    """As in a rolling update. While the older release leads, its split is the one in use."""
    older = await asyncio.to_thread(extract_older_release, tmp_path)
    await site.start("older", older)
    stream.send()
    await site.start("newer")
    stream.send()
    await until_whole(kafka_admin, site, 2)
    await site.stop("older")
    stream.send()
    await until_even(kafka_admin, site, 1)
    await site.start("older", older)
    stream.send()
    await until_even(kafka_admin, site, 2)
    await stream.check_applied_once()


async def until_whole(admin: AdminClient, site: Site, members: int) -> None:
    """So many members have all partitions between them, however they are split."""

    async def is_whole() -> bool:
        assignment = await asyncio.to_thread(group_assignment, admin, site.group)
        counts: Counter[str] = sum(assignment, Counter())
        return len(assignment) == members and counts == {
            site.topic(name): PARTITIONS for name in INPUTS
        }

    await site.until(is_whole, SECONDS_MAX)
