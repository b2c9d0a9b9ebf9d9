"""A fine with a change on which the program failed is not exported before a person has decided."""

from collections.abc import Awaitable, Callable
from typing import NoReturn

import pytest

from service.apply.operator_actions import Justification
from service.consumer.group import Source
from service.consumer.loop import Intake
from service.core import decisions, rules
from service.core import parked as core_parked
from service.core.ledger import FineKey, Origin
from service.database.failed_records import failed_changes
from service.export.manifest import Manifest
from service.export.selection import Exclusion
from service.messages.decode import parse
from service.messages.unparsed import changed_fine_in
from service.operations import held, held_fine, parked
from service.settings.access import KafkaAccess
from tests.support import exports
from tests.support.commands import Commands
from tests.support.failing import Mistake, fails_for, parked_now
from tests.support.guards import new_guard
from tests.support.write_path import WritePath, change, fine, miss_the_fine

BAD = "BAD-1"
JUSTIFICATION = Justification("tester", "a test")
PROFILES = exports.profiles_with()
TOPIC = "library.fine-changed.v1"
KEY = FineKey("6050", "F-00000")
Fails = Callable[[WritePath, pytest.MonkeyPatch], Awaitable[None]]


async def when_it_is_read(path: WritePath, patch: pytest.MonkeyPatch) -> None:
    """As a payment at the desk, or a waiver, of 40.00."""
    patch.setattr(rules, "decide", fails_for(f"'{BAD}'", decisions.decide))
    await path.take(change(change_id=BAD, fine_id=KEY.fine_id, amount="40.00"))


async def when_it_is_set_free(path: WritePath, patch: pytest.MonkeyPatch) -> None:
    await miss_the_fine(path, change(change_id=BAD, fine_id=KEY.fine_id, amount="40.00"))
    patch.setattr(core_parked, "decide", fails_for(f"'{BAD}'", decisions.decide))
    await path.sweep()


async def run(path: WritePath) -> list[tuple[str, int]]:
    """One run: what it exported, by fine."""
    before = await path.value("SELECT coalesce(max(batch_number), 0) FROM export_batch")
    await exports.run(path, PROFILES)
    query = "SELECT fine_id, amount FROM export_line WHERE batch_number > $1 ORDER BY fine_id"
    return [
        (str(row["fine_id"]), int(str(row["amount"]))) for row in await path.rows(query, before)
    ]


async def reasons_of(path: WritePath) -> list[tuple[str, Exclusion | None]]:
    async with path.pool.acquire() as connection:
        result = await held.find(connection, path.applier.store, PROFILES)
    return [(item.fine.facts.fine_id, item.reason) for item in result]


@pytest.mark.parametrize("decision", ["release", "discard"])
@pytest.mark.parametrize("fails", [when_it_is_read, when_it_is_set_free])
async def test_the_fine_waits_until_a_person_has_released_or_discarded_the_change(
    path: WritePath, monkeypatch: pytest.MonkeyPatch, fails: Fails, decision: str
) -> None:
    await path.take(*exports.fines(2, amount="95.50"))
    with monkeypatch.context() as patch:
        await fails(path, patch)
    manifests: list[Manifest] = []
    await path.exports(PROFILES).run_profile(exports.only(PROFILES), manifests.append)
    assert manifests[-1].held_back == ((Exclusion.NOT_EXPORTABLE, 1),)
    assert await path.rows("SELECT fine_id FROM export_line") == [{"fine_id": "F-00001"}]
    assert await reasons_of(path) == [(KEY.fine_id, Exclusion.NOT_EXPORTABLE)]
    (item,) = await parked_now(path)
    async with path.pool.acquire() as connection:
        (failed,) = await failed_changes(connection, KEY)
    assert (failed.topic, failed.partition, failed.record_offset) == item.place
    assert (failed.id, failed.error) == (BAD if item.is_bound else None, "Mistake")
    result = await held_fine.release(path.applier, PROFILES, KEY, JUSTIFICATION)
    assert (result.done, "parked release" in result.outcome) == (False, True)
    assert await run(path) == []
    decide = parked.release if decision == "release" else parked.discard
    assert (await decide(path.applier, item, JUSTIFICATION)).done
    assert await reasons_of(path) == []
    assert await run(path) == [(KEY.fine_id, 5550 if decision == "release" else 9550)]


async def test_a_fine_that_came_as_not_exportable_is_released_and_waits_for_the_change(
    path: WritePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    await path.take(*exports.fines(1, exportable=False))
    await when_it_is_read(path, monkeypatch)
    result = await held_fine.release(path.applier, PROFILES, KEY, JUSTIFICATION)
    assert result.outcome == "released, but still held back: a change of it has failed"
    assert await run(path) == []


async def test_held_show_names_the_change_and_what_to_do(
    path: WritePath, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await path.take(*exports.fines(1))
    with monkeypatch.context() as patch:
        await when_it_is_set_free(path, patch)
    commands = Commands(database_url, "127.0.0.1:1")
    of_fine = ("--institution", "6050", "--fine", KEY.fine_id)
    (row,) = await commands.lines("held", "show", *of_fine)
    (named,) = row["failed_changes"]
    assert (named["id"], named["topic"], named["error"]) == (BAD, TOPIC, "Mistake")
    output = await commands.call("held", "show", *of_fine)
    assert "parked release" in output.stderr
    assert BAD in output.stdout


async def test_other_records_that_failed_hold_no_fine_back(
    path: WritePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    await path.take(*exports.fines(2))
    with monkeypatch.context() as patch:
        patch.setattr(rules, "_create", fails_for("", rules._create))
        await path.take(fine(fine_id=KEY.fine_id))
    assert await path.value("SELECT count(*) FROM parked_error") == 1
    assert len(await run(path)) == 2


def test_a_change_that_cannot_be_read_names_its_fine_all_the_same(path: WritePath) -> None:
    def cannot_read(_: str, __: Origin) -> NoReturn:
        raise Mistake

    source = Source("group", {TOPIC: "fine-changed.v1"})
    access = KafkaAccess(kafka_bootstrap_servers="127.0.0.1:1")
    intake = Intake(new_guard(path.pool, access), access, source, cannot_read, path.applier)
    value = change(fine_id="Gebühr 7").value
    failed = intake._read_record(Origin(TOPIC, 0, 0, None, value))
    assert getattr(failed, "fine_id", None) == "Gebühr 7"
    assert changed_fine_in("bursar-payment.v1", value) is None
    assert changed_fine_in("fine-changed.v1", b'{"fine_id": "a\\u0000"}') is None
    assert parse("fine-changed.v1", Origin(TOPIC, 0, 0, None, value)) is not None
