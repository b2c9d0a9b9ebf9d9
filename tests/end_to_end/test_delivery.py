"""Batches from real topics into a folder: each once, whole, in order, whatever happens."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from tests.support.delivering import LAYOUT, POINTS, TOPICS, Drop
from tests.support.sealed import Sealed, sealed_chain


async def test_batches_are_delivered_once_each_with_its_manifest_and_exact_name(drop: Drop) -> None:
    daily, weekly = sealed_chain(3), sealed_chain(2, "WEEKLY")
    drop.publish(*daily, *weekly)
    first = await drop.once()
    assert first.code == 0, first.problems
    assert sorted((row["profile"], row["batch_number"]) for row in first.rows) == [
        *(("972/DAILY", n) for n in (1, 2, 3)),
        *(("972/WEEKLY", n) for n in (1, 2)),
    ]
    drop.check_holds(*daily, *weekly)
    again = await drop.once()
    assert (again.code, again.rows) == (0, [])


async def test_a_delivery_of_one_profile_leaves_the_others(drop: Drop) -> None:
    daily, weekly = sealed_chain(2), sealed_chain(2, "WEEKLY")
    drop.publish(*daily, *weekly)
    ended = await drop.once("--profile", "WEEKLY")
    assert (ended.code, ended.numbers) == (0, [1, 2]), ended.problems
    assert "passed over, batches of 972/DAILY: 2" in ended.problems
    drop.check_holds(*weekly)


async def test_a_reader_that_takes_the_files_away_gets_none_twice(drop: Drop) -> None:
    chain = sealed_chain(4)
    drop.publish(*chain[:3])
    await drop.once()
    for path in drop.folder.glob("*.xml"):
        path.unlink()
    drop.publish(chain[3])
    assert (await drop.once()).numbers == [4]
    assert drop.files().keys() == {chain[3].file_name}


async def test_a_batch_that_is_sent_again_comes_back_if_its_file_is_gone(drop: Drop) -> None:
    chain = sealed_chain(3)
    drop.publish(*chain)
    await drop.once()
    (drop.folder / chain[1].file_name).unlink()
    drop.publish(chain[1], chain[0])
    result = {row["batch_number"]: row["outcome"] for row in (await drop.once()).rows}
    assert result == {1: "there already", 2: "written"}
    drop.check_holds(*chain)


async def test_a_batch_again_that_differs_from_its_file_is_told(drop: Drop) -> None:
    chain = sealed_chain(2)
    drop.publish(*chain)
    await drop.once()
    (drop.folder / chain[0].file_name).write_bytes(b"theirs")
    drop.publish(chain[0])
    ended = await drop.once()
    assert (ended.code, ended.rows) == (1, [])
    assert "972/DAILY: 1 again: file: one with this name and other bytes" in ended.problems


async def test_a_profile_that_is_not_there_is_told(drop: Drop) -> None:
    drop.publish(*sealed_chain(3))
    ended = await drop.once("--continue-at", "DIALY=2", "--continue-at", "DAILY=3")
    assert (ended.code, ended.numbers) == (1, [1, 2, 3][2:])
    assert "--continue-at: no batch of DIALY was seen, is DAILY meant?" in ended.problems


async def test_foreign_records_are_told_and_stop_nothing(drop: Drop) -> None:
    chain = sealed_chain(1)
    foreign = replace(chain[0], document=chain[0].document._replace(headers=()))
    drop.publish(foreign, only="export-batch.v1")
    drop.publish(*chain)
    ended = await drop.once()
    assert (ended.code, ended.numbers) == (0, [1])
    assert '"event": "record_not_delivered"' in ended.problems


async def test_two_deliveries_with_one_state_are_one_too_many(drop: Drop) -> None:
    chain = sealed_chain(2)
    drop.publish(chain[0])
    async with drop.running():
        await drop.until_there(chain[0])
        second = await drop.once()
        assert second.code == 1
        assert "another delivery works with it" in second.problems
        drop.publish(chain[1])
        await drop.until_there(chain[1])
    drop.check_holds(*chain)


async def test_a_topic_that_gets_more_partitions_is_read_on(
    drop: Drop, kafka_admin: AdminClient
) -> None:
    drop.settings = {"BURSAR_KAFKA_METADATA_MAX_AGE_MS": "500"}
    daily, weekly = sealed_chain(2), sealed_chain(1, "WEEKLY")
    drop.publish(daily[0])
    async with drop.running():
        await drop.until_there(daily[0])
        for name in TOPICS:
            more_partitions(kafka_admin, drop.prefix + name, 8)
        drop.publish(daily[1], *weekly)
        await drop.until_there(daily[1], *weekly)
    drop.check_holds(*daily, *weekly)


def more_partitions(admin: AdminClient, topic: str, count: int) -> None:
    from confluent_kafka.cimpl import NewPartitions

    admin.create_partitions([NewPartitions(topic, count)])[topic].result(30)


@pytest.mark.fault("delivery-killed")
@pytest.mark.parametrize(
    ("passage", "takes_files"),
    [(1, False), (1, True), (2, True)],
    ids=["1", "1 taken", "2 taken"],
)
@pytest.mark.parametrize("point", POINTS)
async def test_killed_at_any_step_no_batch_is_lost_doubled_or_torn(
    drop: Drop, point: str, passage: int, takes_files: bool
) -> None:
    chain = sealed_chain(2)
    drop.publish(*chain)
    dead = await drop.once(crash_at=f"{point}:{passage}")
    assert dead.code == 137, dead.problems
    files = drop.files()
    for name, data in files.items():
        assert data == {item.file_name: item.bytes for item in chain}[name], "a torn file"
    if takes_files:
        for name in files:
            (drop.folder / name).unlink()
    ended = await drop.once()
    assert ended.code == 0, ended.problems
    if not takes_files:
        drop.check_holds(*chain)
    else:
        result = drop.files()
        assert result.keys().isdisjoint(files), "delivered twice"
        assert {**files, **result} == {item.file_name: item.bytes for item in chain}


async def test_a_folder_that_is_read_only_for_now_loses_nothing(drop: Drop) -> None:
    """As root no mode keeps a file out: the folder of manifests is a file for now."""
    chain = sealed_chain(1)
    drop.publish(*chain)
    (drop.folder / "manifests").write_bytes(b"")
    ended = await drop.once()
    assert ended.code == 1
    assert "File exists" in ended.problems or "Not a directory" in ended.problems
    (drop.folder / "manifests").unlink()
    assert (await drop.once()).numbers == [1]
    drop.check_holds(*chain)


@pytest.mark.parametrize("form", ["csv", "fixed"])
async def test_other_formats_have_the_same_lines_and_the_same_manifest(
    drop: Drop, form: str, tmp_path: Path
) -> None:
    layout = tmp_path / "layout.toml"
    layout.write_text(LAYOUT, "utf-8")
    chain = sealed_chain(2)
    drop.publish(*chain)
    more = ("--layout", str(layout)) if form == "fixed" else ()
    ended = await drop.once("--format", form, *more)
    assert (ended.code, ended.numbers) == (0, [1, 2]), ended.problems
    suffix = {"csv": ".csv", "fixed": ".txt"}[form]
    names = [item.file_name.replace(".xml", suffix) for item in chain]
    assert list(drop.files()) == names
    for item, name in zip(chain, names, strict=True):
        manifest = json.loads(_beside(drop, item))
        lines = (drop.folder / name).read_text("utf-8").splitlines()[int(form == "csv") :]
        assert len(lines) - int(form == "fixed") == manifest["count"]
        if form == "fixed":
            total = str(manifest["total"]).replace(".", "")
            assert lines[-1] == f"{manifest['count']:06}{total:0>15}"


def _beside(drop: Drop, sealed: Sealed) -> bytes:
    return (drop.folder / "manifests" / sealed.file_name.replace(".xml", ".json")).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "result"),
    [
        (("--format", "pdf"), "--format: must be one of xml, csv, fixed"),
        (("--format", "fixed"), "--layout: is required with --format fixed"),
        (("--group", "a b"), "--group: must be"),
        (("--profile", "972/DAILY"), "--profile: must be a profile's code"),
        (("--continue-at", "DAILY"), "--continue-at: must be PROFILE=BATCH"),
    ],
)
async def test_a_call_without_meaning_says_so_and_delivers_nothing(
    drop: Drop, arguments: tuple[str, ...], result: str
) -> None:
    drop.publish(*sealed_chain(1))
    ended = await drop.once(*arguments)
    assert ended.code in (1, 2)
    assert result in ended.problems
    assert drop.files() == {}


async def test_a_folder_that_is_not_there_is_not_made(drop: Drop) -> None:
    """A mount that is missing is no reason to fill the disk under it."""
    drop.target = str(drop.folder / "not" / "there")
    ended = await drop.once()
    assert (ended.code, ended.rows) == (1, [])
    assert "must be a folder that exists" in ended.problems
    assert not (drop.folder / "not").exists()
