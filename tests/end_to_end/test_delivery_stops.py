"""What stops the delivery of a profile, and how it goes on."""

from __future__ import annotations

from confluent_kafka.admin import AdminClient

from tests.support.delivering import CONFIG, TOPICS, Drop
from tests.support.sealed import sealed_chain
from tests.support.topics import create_topic, delete_records, delete_topic


async def test_a_wrong_document_stops_its_profile_until_it_is_sent_again(drop: Drop) -> None:
    daily, weekly = sealed_chain(3), sealed_chain(2, "WEEKLY")
    drop.publish(daily[0], daily[1].spoilt(), daily[2], *weekly)
    ended = await drop.once()
    assert ended.code == 1
    assert "sha256, size_bytes, sum, total: the batch differs from its manifest" in ended.problems
    drop.check_holds(daily[0], *weekly)
    assert (await drop.once()).code == 1
    drop.check_holds(daily[0], *weekly)
    drop.publish(daily[1])
    ended = await drop.once()
    assert (ended.code, ended.numbers) == (0, [2, 3]), ended.problems
    drop.check_holds(*daily, *weekly)


async def test_a_gap_stops_its_profile_until_the_batch_comes_or_a_person_goes_on(
    drop: Drop,
) -> None:
    daily, weekly = sealed_chain(4), sealed_chain(3, "WEEKLY")
    drop.publish(daily[0], *daily[2:], weekly[0], weekly[2])
    ended = await drop.once()
    assert ended.code == 1
    assert "972/DAILY: batch_number: 2 is missing before 3" in ended.problems
    assert "972/WEEKLY: batch_number: 2 is missing before 3" in ended.problems
    ended = await drop.once("--continue-at", "WEEKLY=3")
    assert (ended.code, ended.numbers) == (1, [3])
    drop.publish(daily[1])
    ended = await drop.once()
    assert (ended.code, ended.numbers) == (0, [2, 3, 4]), ended.problems
    drop.check_holds(*daily, weekly[0], weekly[2])


async def test_gaps_of_several_profiles_that_close_at_once_lose_nothing(drop: Drop) -> None:
    """Four profiles on two partitions: what each passed over is read again."""
    chains = [sealed_chain(4, profile) for profile in ("A", "B", "C", "D")]
    for chain in chains:
        drop.publish(chain[0], *chain[2:])
    assert (await drop.once()).code == 1
    drop.publish(*(chain[1] for chain in chains))
    ended = await drop.once()
    assert ended.code == 0, ended.problems
    assert sorted(map(str, ended.numbers)) == ["2"] * 4 + ["3"] * 4 + ["4"] * 4
    drop.check_holds(*(item for chain in chains for item in chain))


async def test_a_batch_that_follows_another_one_is_not_passed_on(drop: Drop) -> None:
    ours, theirs = sealed_chain(2), sealed_chain(2, fines=3)
    drop.publish(ours[0], theirs[1])
    ended = await drop.once()
    assert (ended.code, ended.numbers) == (1, [1])
    assert "972/DAILY: previous_sha256: the batch before is another one" in ended.problems


async def test_a_file_of_that_name_with_other_bytes_is_never_replaced(drop: Drop) -> None:
    chain = sealed_chain(1)
    (drop.folder / chain[0].file_name).write_bytes(b"theirs")
    drop.publish(*chain)
    ended = await drop.once()
    assert ended.code == 1
    assert "file: one with this name and other bytes is there" in ended.problems
    assert drop.files() == {chain[0].file_name: b"theirs"}


async def test_records_that_retention_deleted_unread_are_a_gap(
    drop: Drop, kafka_admin: AdminClient
) -> None:
    chain = sealed_chain(3)
    drop.publish(chain[0])
    for name in TOPICS:
        delete_records(kafka_admin, drop.prefix + name, {0: -1, 1: -1})
    drop.publish(*chain[1:])
    ended = await drop.once()
    assert (ended.code, ended.rows) == (1, [])
    assert "batch_number: 1 is missing before 2" in ended.problems
    ended = await drop.once("--continue-at", "DAILY=2")
    assert (ended.code, ended.numbers) == (0, [2, 3])
    assert (await drop.once("--continue-at", "DAILY=2")).rows == []


async def test_a_lost_state_is_noticed(drop: Drop) -> None:
    chain = sealed_chain(2)
    drop.publish(chain[0])
    await drop.once()
    (state,) = drop.folder.glob(".*.json")
    state.unlink()
    drop.publish(chain[1])
    ended = await drop.once()
    assert (ended.code, ended.rows) == (1, [])
    assert "there is no state" in ended.problems
    ended = await drop.once("--continue-at", "DAILY=2")
    assert (ended.code, ended.numbers) == (0, [2])
    drop.check_holds(*chain)


async def test_after_a_lost_state_no_profile_is_delivered_again_unasked(drop: Drop) -> None:
    daily, weekly, new = sealed_chain(2), sealed_chain(2, "WEEKLY"), sealed_chain(1, "NEW")
    drop.publish(daily[0], weekly[0])
    await drop.once()
    (state,) = drop.folder.glob(".*.json")
    state.unlink()
    for path in drop.folder.glob("*.xml"):
        path.unlink()
    drop.publish(daily[1], weekly[1], *new)
    for words in (("--continue-at", "DAILY=2"), ()):
        ended = await drop.once(*words)
        assert ended.code == 1
        assert "972/WEEKLY: state: how far this profile is was lost" in ended.problems
        assert drop.files().keys() == {daily[1].file_name, new[0].file_name}
    ended = await drop.once("--continue-at", "WEEKLY=2")
    assert (ended.code, ended.numbers) == (0, [2]), ended.problems
    assert weekly[0].file_name not in drop.files()


async def test_a_topic_made_anew_is_not_the_one_that_was_read(
    drop: Drop, kafka_admin: AdminClient
) -> None:
    drop.publish(*sealed_chain(3))
    await drop.once()
    for name in TOPICS:
        delete_topic(kafka_admin, drop.prefix + name)
        create_topic(kafka_admin, drop.prefix + name, 2, CONFIG)
    ended = await drop.once()
    assert (ended.code, ended.rows) == (1, [])
    assert "ends before what was read of it" in ended.problems
