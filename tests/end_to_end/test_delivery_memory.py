"""An export number that was delivered never gets a second name or other content, on any target."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from tests.support.delivering import (
    CONFIG,
    LAYOUT,
    POINTS,
    TOPICS,
    Drop,
    check_undeliverable,
    journal_of,
    learned,
    state_of,
    take_files,
)
from tests.support.sealed import sealed_chain
from tests.support.sftp import Mood, make_keys, serving, to
from tests.support.topics import create_topic, delete_records

FOLDER, SFTP, DROP_BOX = "folder", "sftp", "drop box"


LATER = timedelta(days=1)


on = pytest.mark.parametrize


@pytest.fixture(params=[FOLDER, SFTP, DROP_BOX])
async def drop(
    request: pytest.FixtureRequest,
    bootstrap_servers: str,
    kafka_admin: AdminClient,
    topic_prefix: str,
    group_id: str,
    tmp_path: Path,
) -> AsyncIterator[Drop]:
    """A folder, an SFTP server, and one whose folder cannot be listed."""
    for name in TOPICS:
        create_topic(kafka_admin, topic_prefix + name, 2, CONFIG)
    folder = tmp_path / "drop"
    folder.mkdir()
    state = ("--state", str(tmp_path / "state.json"))
    drop = Drop(bootstrap_servers, topic_prefix, group_id, str(folder), folder, state)
    if request.param == FOLDER:
        yield drop
        return
    keys = make_keys(tmp_path / "keys")
    drop.settings = {
        "BURSAR_SFTP_KEY_FILE": str(keys.client),
        "BURSAR_SFTP_KNOWN_HOSTS_FILE": str(keys.known_hosts),
    }
    async with serving(keys, tmp_path, Mood(lists=request.param == SFTP)) as port:
        yield to(drop, port)


@on("takes_files", [False, True], ids=["stays", "taken"])
async def test_a_batch_published_again_with_other_content_is_refused(
    drop: Drop, takes_files: bool
) -> None:
    """As a service does whose ledger was restored from a backup."""
    ours, theirs = sealed_chain(1), sealed_chain(1, fines=3, later=LATER)
    drop.publish(*ours)
    assert (await drop.once()).numbers == [1]
    if takes_files:
        take_files(drop)
    drop.publish(*theirs)
    ended = await drop.once()
    assert (ended.code, ended.rows, learned(ended)) == (1, [], [])
    check_undeliverable(ended, "972/DAILY: 1 again: batch_number: ", ours[0], theirs[0])
    assert drop.files().keys() == (set() if takes_files else {ours[0].file_name})
    drop.publish(*ours)
    ended = await drop.once()
    outcome = "written" if takes_files else "there already"
    assert [row["outcome"] for row in ended.rows] == [outcome], ended.problems
    drop.check_holds(*ours)


@pytest.mark.fault("delivery-killed")
@on("drop", [FOLDER], indirect=True)
@on("point", POINTS)
async def test_killed_at_any_step_no_number_gets_a_second_name(drop: Drop, point: str) -> None:
    ours, theirs = sealed_chain(1), sealed_chain(1, fines=3, later=LATER)
    drop.publish(*ours)
    assert (await drop.once(crash_at=f"{point}:1")).code == 137
    drop.publish(*theirs)
    ended = await drop.once()
    assert ended.code == 1
    check_undeliverable(ended, "batch_number: delivered before was ", ours[0], theirs[0])
    assert "batches_left_out" not in ended.problems
    assert drop.files().keys() <= {ours[0].file_name}
    drop.publish(*ours)
    ended = await drop.once()
    assert (ended.code, ended.numbers) == (0, [1]), ended.problems
    drop.check_holds(*ours)


@on("drop", [FOLDER, DROP_BOX], indirect=True)
async def test_fifty_batches_later_and_without_a_restart_the_first_one_is_known(
    drop: Drop,
) -> None:
    ours, theirs = sealed_chain(51), sealed_chain(1, fines=3, later=LATER)
    drop.publish(*ours)
    async with drop.running():
        await drop.until_there(*ours)
        take_files(drop)
        drop.publish(*theirs)
        await drop.until_logged("batch_not_delivered")
        drop.publish(ours[0])
        await drop.until_there(ours[0])
    drop.check_holds(ours[0])


@on("drop", [FOLDER], indirect=True)
async def test_a_new_batch_with_a_known_export_number_stops_its_profile(drop: Drop) -> None:
    doubled, mended = sealed_chain(2, export_numbers=(1, 1)), sealed_chain(3)
    drop.publish(*doubled)
    ended = await drop.once()
    assert (ended.code, ended.numbers) == (1, [1])
    check_undeliverable(ended, "972/DAILY: export_number: ", doubled[0], doubled[1])
    drop.check_holds(doubled[0])
    drop.publish(*mended[1:])
    ended = await drop.once()
    assert (ended.code, ended.numbers) == (0, [2, 3]), ended.problems
    drop.check_holds(*mended)


@on("drop", [FOLDER, DROP_BOX], indirect=True)
async def test_a_delivery_that_lost_its_state_remembers_by_its_journal(drop: Drop) -> None:
    ours, theirs = sealed_chain(2), sealed_chain(2, fines=3, later=LATER)
    drop.publish(*ours)
    await drop.once()
    state_of(drop).unlink()
    take_files(drop)
    drop.publish(*theirs)
    ended = await drop.once("--continue-at", "DAILY=2")
    assert (ended.code, ended.rows, drop.files()) == (1, [], {})
    check_undeliverable(ended, "972/DAILY: batch_number: ", ours[1], theirs[1])
    drop.publish(ours[1])
    ended = await drop.once()
    assert (ended.code, ended.numbers) == (0, [2]), ended.problems
    drop.check_holds(ours[1])


@on("drop", [FOLDER], indirect=True)
async def test_a_group_that_the_broker_forgot_is_known_by_the_journal(drop: Drop) -> None:
    drop.publish(*sealed_chain(1))
    await drop.once()
    state_of(drop).unlink()
    drop.group = f"{drop.group}x"
    ended = await drop.once()
    assert (ended.code, ended.rows) == (1, [])
    assert "there is no state" in ended.problems


@on("drop", [FOLDER, SFTP], indirect=True)
@on("kept", ["*.xml", "manifests/*.json"])
async def test_without_state_and_journal_what_lies_on_the_target_is_the_evidence(
    drop: Drop, kept: str
) -> None:
    ours, theirs = sealed_chain(2), sealed_chain(2, fines=3, later=LATER)
    drop.publish(*ours)
    await drop.once()
    state_of(drop).unlink()
    journal_of(drop).unlink()
    for path in {*drop.folder.glob("**/*.*")} - {*drop.folder.glob(kept)}:
        path.unlink()
    before = {*drop.folder.glob("**/*.*")}
    drop.publish(theirs[1])
    ended = await drop.once("--continue-at", "DAILY=2")
    assert (ended.code, ended.rows) == (1, [])
    stem = ours[1].file_name.removesuffix(".xml")
    assert f"972/DAILY: export_number: the target holds {stem}.*" in ended.problems
    assert theirs[1].file_name in ended.problems
    assert {*drop.folder.glob("**/*.*")} == before
    drop.publish(ours[1])
    ended = await drop.once()
    assert (ended.code, ended.numbers) == (0, [2]), ended.problems
    assert drop.files()[ours[1].file_name] == ours[1].bytes


@on("drop", [FOLDER, DROP_BOX], indirect=True)
async def test_a_state_without_a_journal_learns_from_the_topic_what_was_delivered(
    drop: Drop,
) -> None:
    """As after an upgrade; of two batches of one number the delivered chain leads to one."""
    ours, theirs = sealed_chain(3), sealed_chain(3, fines=3, later=LATER)
    drop.publish(*ours)
    await drop.once()
    journal_of(drop).unlink()
    take_files(drop)
    drop.publish(theirs[2], theirs[0])
    ended = await drop.once()
    assert (ended.code, ended.rows) == (1, [])
    assert learned(ended) == [("972/DAILY", 1, 3)]
    check_undeliverable(ended, "972/DAILY: 1 again: batch_number: ", ours[0], theirs[0])
    check_undeliverable(ended, "972/DAILY: 3 again: batch_number: ", ours[2], theirs[2])
    drop.publish(ours[1])
    ended = await drop.once()
    assert (ended.code, ended.numbers, learned(ended)) == (0, [2], []), ended.problems
    assert drop.files() == {ours[1].file_name: ours[1].bytes}


@on("drop", [FOLDER], indirect=True)
async def test_what_the_topic_has_lost_is_known_by_the_hash_of_the_last_batch_alone(
    drop: Drop, kafka_admin: AdminClient
) -> None:
    ours, theirs = sealed_chain(3), sealed_chain(3, fines=3, later=LATER)
    drop.publish(*ours)
    await drop.once()
    journal_of(drop).unlink()
    take_files(drop)
    for name in TOPICS:
        delete_records(kafka_admin, drop.prefix + name, {0: -1, 1: -1})
    drop.publish(theirs[2])
    ended = await drop.once()
    assert (ended.code, ended.rows, learned(ended)) == (1, [], [("972/DAILY", 3, 3)])
    assert "a file whose name is not known" in ended.problems
    assert ours[2].sha256[:12] in ended.problems
    drop.publish(ours[2])
    assert (await drop.once()).numbers == [3]
    journal = [json.loads(line) for line in journal_of(drop).read_bytes().splitlines()]
    assert journal[-1]["file_name"] == ours[2].file_name


@on("drop", [FOLDER], indirect=True)
async def test_an_earlier_batch_that_nothing_remembers_is_not_delivered_again(
    drop: Drop, kafka_admin: AdminClient
) -> None:
    """Journal, topics and files are gone: nobody could tell another content from the first one."""
    ours, theirs = sealed_chain(3), sealed_chain(2, fines=3, later=LATER)
    drop.publish(*ours)
    await drop.once()
    journal_of(drop).unlink()
    take_files(drop)
    for name in TOPICS:
        delete_records(kafka_admin, drop.prefix + name, {0: -1, 1: -1})
    drop.publish(theirs[1])
    ended = await drop.once()
    assert (ended.code, ended.rows, drop.files()) == (1, [], {})
    assert "nothing tells any more with which content" in ended.problems


@on("drop", [FOLDER], indirect=True)
async def test_a_batch_that_would_be_printed_in_another_way_is_refused(
    drop: Drop, tmp_path: Path
) -> None:
    layout = tmp_path / "layout.toml"
    layout.write_text(LAYOUT, "utf-8")
    fixed = ("--format", "fixed", "--layout", str(layout))
    chain = sealed_chain(1)
    drop.publish(*chain)
    assert (await drop.once(*fixed)).numbers == [1]
    ((name, data),) = drop.files().items()
    take_files(drop)
    layout.write_text(LAYOUT.replace("length = 12", "length = 13"), "utf-8")
    drop.publish(*chain)
    ended = await drop.once(*fixed, "--change-options")
    assert (ended.code, drop.files()) == (1, {})
    assert "file_sha256" in ended.problems
    layout.write_text(LAYOUT, "utf-8")
    drop.publish(*chain)
    assert (await drop.once(*fixed, "--change-options")).code == 0
    assert drop.files() == {name: data}


@on("drop", [FOLDER], indirect=True)
async def test_a_damaged_journal_stops_the_delivery(drop: Drop) -> None:
    chain = sealed_chain(2)
    drop.publish(chain[0])
    await drop.once()
    journal = journal_of(drop)
    journal.write_bytes(journal.read_bytes().replace(b'"sha256"', b'"sha"', 1) + b"torn")
    drop.publish(chain[1])
    ended = await drop.once()
    assert (ended.code, ended.rows) == (1, [])
    assert "line 2: must be a delivered batch" in ended.problems
    drop.check_holds(chain[0])
