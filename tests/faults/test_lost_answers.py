"""An answer is lost: that of a COMMIT, or the acknowledgement of records that the broker has."""

from __future__ import annotations

from collections import Counter, defaultdict
from random import Random

import pytest

from service.kafka.topics import OUTPUTS
from tests.faults.ends import until_ended
from tests.faults.filters import LostAcknowledgements, LostCommits
from tests.faults.network import Network
from tests.faults.stage import Stage
from tests.support.process import connected

LOST, EVENTS = 60, 3_000
CRASHED = 137  # the exit code of a crash point
SECONDS_MAX = 900
# A lease of more than a quarter of an hour would count as given by a clock that was ahead.
HOLD_LEASE = (
    "INSERT INTO relay_lease (name, holder, fence, expires_at)"
    " VALUES ('relay', 'nobody', 1, now() + interval '10 minutes')"
)
FREE_LEASE = "UPDATE relay_lease SET expires_at = now() WHERE holder = 'nobody'"
# Many pages of few records, and a lease that ends soon after its holder.
SMALL_PAGES = {
    "BURSAR_POLL_RECORDS_MAX": "2",
    "BURSAR_RELAY_PAGE_ROWS_MAX": "2",
    "BURSAR_RELAY_LEASE_SECONDS": "2",
}


def repeats(stage: Stage) -> int:
    """How many records of the output topics repeat one before, byte for byte.

    Fails if two records of one id differ in a key, a value or a header.
    """
    copies: Counter[bytes] = Counter()
    contents = defaultdict(set)
    for contract in OUTPUTS:
        for record in stage.site.records(contract):
            identity = dict(record.headers)["ce_id"]
            copies[identity] += 1
            contents[identity].add((record.key, record.value, record.headers))
    assert [identity for identity, each in contents.items() if len(each) > 1] == []
    return copies.total() - len(copies)


def row(name: str) -> pytest.MarkDecorator:
    """A row whose instance is the process that ends by itself, and no parent of it."""
    return pytest.mark.fault(name, is_alone=True)


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(3, marks=[row("kill-before-delete-small"), pytest.mark.slow]),
        pytest.param(100, marks=[row("kill-before-delete"), pytest.mark.slow]),
    ],
)
async def test_a_relay_killed_between_acknowledgement_and_delete_repeats_the_same_bytes(
    stage: Stage, count: int
) -> None:
    """The outbox fills while nobody may send; then the process ends at each acknowledgement."""
    random, crashes = Random(9), {"CRASH_AT": "page_acknowledged:1"}
    async with connected(stage.site.database_url) as connection:
        await connection.execute(HOLD_LEASE)
    await stage.start("one", restart=True, settings={**SMALL_PAGES, **crashes})
    await stage.take(stage.load.first_half(50 + 6 * count))
    member = stage.members["one"]
    stage.row.in_flight.append((await stage.work()).queued)
    async with connected(stage.site.database_url) as connection:
        await connection.execute(FREE_LEASE)
    while len(member.ends) < count:
        ends = len(member.ends)
        await until_ended(stage, member, seconds_max=SECONDS_MAX)
        stage.row.count("killed between acknowledgement and delete", len(member.ends) - ends)
        member.settings = {
            **SMALL_PAGES,
            "CRASH_AT": f"page_acknowledged:{random.choice((1, 2, 3))}",
        }
    member.settings = SMALL_PAGES
    await stage.until_quiet(SECONDS_MAX)
    same = repeats(stage)
    stage.row.notes.append(f"{same} records were sent again, each with the same bytes.")
    assert set(member.ends) == {CRASHED}
    assert same >= count
    await stage.export([])
    await stage.judge()


@pytest.mark.slow
@pytest.mark.fault("lost-acknowledgement")
async def test_acknowledgements_that_are_lost_lose_and_double_nothing(network: Network) -> None:
    """The broker has the records, and the producer's connection is reset before it learns that."""
    stage, filtered = network.stage, LostAcknowledgements(network.proxy("kafka"))
    await stage.start("one", "two", settings=SMALL_PAGES)

    async def lose() -> None:
        before = filtered.lost
        filtered.left = LOST

        async def are_lost() -> bool:
            return filtered.left == 0

        await stage.until(are_lost, SECONDS_MAX)
        stage.row.count("acknowledgement lost after append", filtered.lost - before)

    await stage.under_load(lose, EVENTS)
    stage.row.notes.append(f"{repeats(stage)} records were sent again, each with the same bytes.")


@pytest.mark.parametrize(
    ("count", "halves", "events"),
    [
        pytest.param(
            5, 1, 300, marks=[pytest.mark.fault("commit-in-doubt-small"), pytest.mark.slow]
        ),
        pytest.param(40, 2, 3_000, marks=[pytest.mark.fault("commit-in-doubt"), pytest.mark.slow]),
    ],
)
async def test_commits_whose_outcome_is_not_known_are_not_lost_or_doubled(
    database_network: Network, count: int, halves: int, events: int
) -> None:
    """First the server has each COMMIT and the service never learns it; then it never comes."""
    stage, filtered = database_network.stage, LostCommits(database_network.postgres)
    await stage.start("one", "two", settings=SMALL_PAGES)

    async def are_lost() -> bool:
        return filtered.left == 0

    async def lose() -> None:
        for reaches_server in (True, False):
            filtered.reaches_server, filtered.left = reaches_server, count
            await stage.until(are_lost, SECONDS_MAX)
            stage.row.count("answer to COMMIT lost" if reaches_server else "COMMIT lost", count)

    await stage.under_load(lose, events, halves=halves)
