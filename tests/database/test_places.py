"""A topic that was made anew has other records at known places: both are kept."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from service.apply.operator_actions import Justification
from service.core import rules
from service.operations import parked, rejected
from service.operations.parked_records import ParkedFilter
from service.operations.rejected import RejectedFilter
from service.restore.known import unknown
from tests.support.write_path import Record, WritePath, fine, outbox_of, record

CONTRACT = "fine-created.v1"
JUSTIFICATION = Justification("tester", "a test")


async def made_anew(path: WritePath) -> None:
    """What an operator does who reads a topic from its start."""
    await path.pool.execute("DELETE FROM consumer_offset")
    path._assignments.clear()


def bad(text: str) -> Record:
    return record(CONTRACT, text.encode())


async def rejected_now(path: WritePath, topic: str | None = None) -> list[rejected.RejectedRecord]:
    async with path.pool.acquire() as connection:
        return await rejected.find(connection, RejectedFilter(topic=topic))


async def test_another_record_at_a_known_place_is_rejected_beside_the_earlier_one(
    path: WritePath,
) -> None:
    await path.take(bad("{one"))
    await made_anew(path)
    await path.take(bad("{another"))
    values = await path.rows("SELECT record_value FROM rejected ORDER BY recorded_at")
    assert [row["record_value"] for row in values] == [b"{one", b"{another"]
    earlier, later = await rejected_now(path, CONTRACT)
    assert later.place == ("library.fine-created.v1", 0, 0)
    assert earlier.place.topic.startswith("library.fine-created.v1@")
    assert earlier.place[1:] == (0, 0)
    first, second = await outbox_of(path.pool, "rejected.v1")
    assert first.header("ce_id") != second.header("ce_id")
    assert second.header("bursar-topic") == "library.fine-created.v1"


@dataclass
class Output:
    """A record of an output topic, as the restore check reads it."""

    topic: str
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    key: bytes | None = None
    partition: int = 0
    offset: int = 0
    timestamp: int = 0


async def test_the_restore_check_knows_what_was_published_of_the_earlier_record(
    path: WritePath,
) -> None:
    await path.take(bad("{one"))
    await made_anew(path)
    await path.take(record(CONTRACT, {}))
    sent = await outbox_of(path.pool, "rejected.v1")
    assert [item.header("bursar-reason") for item in sent] == ["invalid_json", "invalid_schema"]
    await path.pool.execute("DELETE FROM outbox")
    outputs = [Output(item.topic, item.value, item.headers) for item in sent]
    async with path.pool.acquire() as connection:
        assert await unknown(connection, outputs) == []


async def test_the_same_record_read_again_has_one_row_and_one_id(path: WritePath) -> None:
    await path.take(bad("{one"))
    await made_anew(path)
    await path.take(bad("{one"))
    assert len(await rejected_now(path)) == 1
    first, second = await outbox_of(path.pool, "rejected.v1")
    assert first.header("ce_id") == second.header("ce_id")


async def test_an_earlier_record_can_still_be_decided(path: WritePath) -> None:
    await path.take(fine(currency="EUR"), fine(amount="1.00", currency="EUR"))
    await made_anew(path)
    await path.take(bad("{one"), bad("{another"))
    (earlier,) = [item for item in await rejected_now(path) if item.reason == "fine_conflict"]
    result = await rejected.replay(path.applier, earlier, JUSTIFICATION)
    assert result.outcome == "is rejected again: fine_conflict"
    assert (await rejected.discard(path.applier, earlier, JUSTIFICATION)).done


async def test_a_sound_record_that_fails_at_a_known_place_is_kept_beside_the_earlier_one(
    path: WritePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(rules, "_create", None)
        await path.take(fine(fine_id="F-1"))
        await made_anew(path)
        await path.take(fine(fine_id="F-2"))
    async with path.pool.acquire() as connection:
        items = await parked.find(connection, ParkedFilter())
    assert [item.id for item in items] == ["F-1", "F-2"]
    for item in items:
        assert (await parked.release(path.applier, item, JUSTIFICATION)).outcome == "applied"
    assert await path.value("SELECT count(*) FROM parked_error") == 0
