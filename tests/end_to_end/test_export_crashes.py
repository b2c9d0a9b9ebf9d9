"""Exporters killed at each step of a run, and two of them at once: nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import DEVNULL
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from itertools import product

import pytest

from service.core.bursar_ids import NUMBER_MIN, bursar_id
from tests.support.exports import all_fine_ids, check_sealed, fines, lines_of_manifest, parts
from tests.support.installation import institution, profile
from tests.support.members import remove_members
from tests.support.process import Site, end
from tests.support.programs import start_program
from tests.support.topics import Read, read_topic
from tests.support.write_path import OUTPUTS, PREFIX, Row, WritePath

SECONDS_MAX = 60
KILLED = 137
CONFIGURATION = institution() + profile(fines_max=10)
IN_THE_COMMIT = (
    "export_selected",
    "export_rendered",
    "ledger_written",
    "outbox_put",
    "export_sealed",
    "before_commit",
)


async def ended(site: Site, *arguments: str, crash_at: str = "") -> int | None:
    """How a process ends that is told to die at a point, if at all."""
    environment = {**site.environment, "CRASH_AT": crash_at}
    process = await start_program(*arguments, environment=environment, output=DEVNULL)
    try:
        async with asyncio.timeout(SECONDS_MAX):
            await process.communicate()
    finally:
        await end(process)
    return process.returncode


@pytest.fixture
def alone(site: Site) -> Site:
    """Exporters that need no broker: what they publish waits in the outbox."""
    alone = replace(site, prefix=PREFIX)
    alone.write_profiles(CONFIGURATION)
    return alone


RUN = ("export", "run", "--profile", "bursar")


async def check_runs(path: WritePath, sealed: list[Row]) -> None:
    """Each run's parts in order, closed by its last; numbers of the institution without gaps."""
    runs = defaultdict(list)
    for item in sealed:
        runs[item["run_id"]].append(item)
    for batches in runs.values():
        assert parts(batches) == list(range(1, len(batches) + 1))
        assert [item["last"] for item in batches] == [item is batches[-1] for item in batches]
        assert len({str(item["cutoff"]) for item in batches}) == 1
    check_numbers(sealed)
    assert await path.value("SELECT count(*) FROM export_run WHERE state = 'open'") == 0


def check_numbers(sealed: list[Row]) -> None:
    numbers = [int(str(item["export_number"])) for item in sealed]
    assert numbers == list(range(100_000_000_000_001, 100_000_000_000_001 + len(sealed)))
    ids = [line["bursar_transaction_id"] for item in sealed for line in lines_of_manifest(item)]
    assert ids == [bursar_id(number) for number in range(NUMBER_MIN, NUMBER_MIN + len(ids))]


@pytest.mark.fault("export-killed")
@pytest.mark.parametrize("point", [*IN_THE_COMMIT, "after_commit"])
async def test_an_exporter_killed_at_a_step_leaves_whole_batches_and_the_next_one_goes_on(
    alone: Site, path: WritePath, point: str
) -> None:
    """In the first and in the second batch of a run, each in a run of its own."""
    made = fines(50)
    for n in (1, 2):
        await path.take(*made[(n - 1) * 25 : n * 25])
        before = len(await check_sealed(path))
        assert await ended(alone, *RUN, crash_at=f"{point}:{n}") == KILLED
        whole = n if point == "after_commit" else n - 1
        assert len(await check_sealed(path)) == before + whole
        assert await path.value("SELECT count(*) FROM export_run WHERE state = 'open'") == 1
        assert await ended(alone, *RUN) == 0
    sealed = await check_sealed(path)
    await check_runs(path, sealed)
    assert all_fine_ids(sealed) == [f"F-{number:05}" for number in range(50)]
    assert [item["count"] for item in sealed] == [10, 10, 5] * 2
    assert await path.value("SELECT sum(transferred)::bigint FROM account") == 50 * 100


@pytest.mark.fault("two-exporters")
async def test_two_exporters_and_one_that_is_killed_share_a_run(
    alone: Site, path: WritePath
) -> None:
    await path.take(*fines(120, of_each=3))
    result = await asyncio.gather(
        ended(alone, *RUN, crash_at="export_sealed:2"), ended(alone, *RUN), ended(alone, *RUN)
    )
    assert (result[1], result[2]) == (0, 0)
    assert result[0] in (0, KILLED), "the others may have left it too little to do"
    assert await ended(alone, *RUN) == 0
    sealed = await check_sealed(path)
    await check_runs(path, sealed)
    assert all_fine_ids(sealed) == [f"F-{number:05}" for number in range(120)]


STEPS = ("export_selected", "export_rendered", "export_sealed", "page_acknowledged", "page_deleted")


@pytest.mark.fault("kill-at-each-step")
async def test_a_service_killed_at_each_step_tells_the_topics_everything_in_order(
    site: Site, path: WritePath
) -> None:
    """The same ledger lives through all of it; a record may come twice, then it is the same."""
    site.settings = {"BURSAR_RELAY_LEASE_SECONDS": "2", "BURSAR_RELAY_PAGE_ROWS_MAX": "2"}
    site.write_profiles(CONFIGURATION + "interval_seconds = 1\n")
    await site.command("topics", "create", "--partitions", "2")
    path.applier.outputs = replace(OUTPUTS, balance_changed=site.topic("balance-changed.v1"))
    made = fines(len(STEPS) * 2 * 25)
    for place, (step, n) in enumerate(product(STEPS, (1, 2))):
        await path.take(*made[place * 25 : place * 25 + 25])
        assert await ended(site, "run", crash_at=f"{step}:{n}") == KILLED, step
        await remove_members(site.servers, site.group)
    await site.start()

    async def exported() -> bool:
        rows = await site.rows("SELECT count(*) AS n FROM fine WHERE status = 'Transferred'")
        return rows[0]["n"] == len(made)

    await site.until(exported, SECONDS_MAX)
    await site.until_idle(0)
    sealed = check_topics(site)
    assert sorted(all_fine_ids(sealed)) == [f"F-{number:05}" for number in range(len(made))]
    await check_resent(site)
    await site.stop()
    assert await site.command("reconcile")


def published(site: Site, contract: str) -> Iterator[tuple[str, Read]]:
    """By ce_id, in the order of their first coming; the same again is dropped."""
    known: dict[str, Read] = {}
    for read in read_topic(site.servers, site.topic(contract)):
        name = dict(read.headers)["ce_id"].decode()
        first = known.setdefault(name, read)
        assert (read.key, read.value, read.headers) == (first.key, first.value, first.headers)
    yield from known.items()


def check_topics(site: Site) -> list[Row]:
    """Documents and manifests belong together and form a chain; accounts have no gaps."""
    documents = {name: read.value or b"" for name, read in published(site, "export-batch.v1")}
    manifests = {
        name: json.loads(r.value or b"") for name, r in published(site, "export-manifest.v1")
    }
    sealed: list[Row] = list(manifests.values())
    previous = None
    for number, item in enumerate(sealed, start=1):
        name = f"6050/bursar/{number}"
        assert manifests[f"{name}/manifest"] is item
        assert item["sha256"] == sha256(documents[name]).hexdigest()
        assert item["previous_sha256"] == previous
        previous = item["sha256"]
    assert len(documents) == len(sealed)
    check_numbers(sealed)
    sequences = defaultdict(list)
    for _, read in published(site, "balance-changed.v1"):
        data = json.loads(read.value or b"")
        sequences[data["patron_id"]].append((data["sequence"], data["transaction"]["kind"]))
    assert all(batches == [(1, "fine"), (2, "export_and_paid")] for batches in sequences.values())
    return sealed


async def check_resent(site: Site) -> None:
    """Identical bytes under the same ce_id: check_topics compares what comes again."""
    before = len(read_topic(site.servers, site.topic("export-batch.v1")))
    await site.command("export", "resend", "--profile", "bursar", "--batch", "2")

    async def came() -> bool:
        return len(read_topic(site.servers, site.topic("export-batch.v1"))) > before

    await site.until(came, SECONDS_MAX)
    await site.until_idle(0)
    assert len(read_topic(site.servers, site.topic("export-batch.v1"))) == before + 1
    check_topics(site)
