"""A patron's data is the newest, and no instant of the future keeps newer data out."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from service.core.ledger import Patron
from service.database.session import statements
from service.database.tables import PATRON
from tests.support.inputs import EVENT_TIME, fine_created
from tests.support.write_path import Record, WritePath, record

FUTURE = "9999-12-31T23:59:59Z"


def named(name: str, time: str, fine_id: str = "F-1") -> Record:
    patron = {"patron_id": "P-1", "name": name, "user_group": "STUDENT", "identifiers": []}
    return record("fine-created.v1", fine_created(fine_id=fine_id, patron=patron), time)


def now() -> str:
    return datetime.now(UTC).isoformat()


async def name_of(path: WritePath) -> object:
    return await path.value("SELECT name FROM patron")


async def test_a_record_of_the_future_is_replaced_by_the_next_one(path: WritePath) -> None:
    await path.take(named("Frozen", FUTURE))
    assert await path.value("SELECT seen_at <= clock_timestamp() FROM patron")
    await path.take(named("Doe, Jane", now(), "F-2"))
    assert await name_of(path) == "Doe, Jane"


async def test_a_record_of_the_future_is_the_newest_of_its_poll_and_not_of_the_next_one(
    path: WritePath,
) -> None:
    """It counts as the time at which it was taken, which no record beside it is later than."""
    await path.take(named("Frozen", FUTURE), named("Doe, Jane", now(), "F-2"))
    assert await name_of(path) == "Frozen"
    assert await path.value("SELECT seen_at <= clock_timestamp() FROM patron")
    await path.take(named("Doe, Jane", now(), "F-3"))
    assert await name_of(path) == "Doe, Jane"


async def test_a_patron_whom_an_older_release_froze_takes_the_next_record(path: WritePath) -> None:
    await path.take(named("Frozen", EVENT_TIME))
    await path.pool.execute("UPDATE patron SET seen_at = '9999-12-31T23:59:59Z'")
    await path.take(named("Doe, Jane", EVENT_TIME, "F-2"))
    assert await name_of(path) == "Doe, Jane"
    (row,) = await path.rows("SELECT seen_at FROM patron")
    assert row["seen_at"] == datetime.fromisoformat(EVENT_TIME)


async def test_an_older_record_still_changes_nothing(path: WritePath) -> None:
    await path.take(named("Doe, Jane", now()))
    await path.take(named("Maiden, Jane", EVENT_TIME, "F-2"))
    assert await name_of(path) == "Doe, Jane"


@pytest.mark.parametrize(
    ("stored", "written", "name"),
    [
        ("2026-01-01", "2026-01-02", "written"),
        ("2026-01-02", "2026-01-01", "stored"),
        ("9999-01-01", "2026-01-01", "written"),
    ],
)
async def test_a_rival_of_another_account_who_commits_first_is_compared_by_the_same_rule(
    path: WritePath, stored: str, written: str, name: str
) -> None:
    """The statement alone: what the fold has compared is no longer so."""
    for value, instant in (("stored", stored), ("written", written)):
        seen_at = datetime.fromisoformat(instant).replace(tzinfo=UTC)
        snapshot = Patron("6050", "P-1", value, "STUDENT", (), seen_at)
        columns = [[column] for column in PATRON.row(snapshot)]
        # The first one as an older release writes it, which compares with no clock.
        recorded_at = datetime(2026, 2, 1, tzinfo=UTC) if value == "written" else seen_at
        await path.pool.execute(statements("ledger")["write_patron"], *columns, recorded_at)
    assert await name_of(path) == name


async def test_a_record_of_the_future_that_is_read_again_brings_no_old_data_back(
    path: WritePath,
) -> None:
    await path.take(named("Maiden, Jane", FUTURE))
    await path.take(named("Doe, Jane", now(), "F-2"))
    await path.take(named("Maiden, Jane", FUTURE))
    assert await name_of(path) == "Doe, Jane"
