"""The same delivery to a real SFTP server on loopback: names, losses, and whom it trusts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest
from confluent_kafka.admin import AdminClient

from service.delivery.sftp import sftp_access
from service.runtime.problems import OperatorError
from tests.support.delivering import CONFIG, TOPICS, Drop
from tests.support.sealed import sealed_chain
from tests.support.sftp import Keys, Mood, make_keys, serving, to
from tests.support.topics import create_topic


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return make_keys(tmp_path / "keys")


@pytest.fixture
def drop(
    bootstrap_servers: str,
    kafka_admin: AdminClient,
    topic_prefix: str,
    group_id: str,
    tmp_path: Path,
    keys: Keys,
) -> Drop:
    """Its target is told once the server listens."""
    for name in TOPICS:
        create_topic(kafka_admin, topic_prefix + name, 1, CONFIG)
    folder = tmp_path / "drop"
    folder.mkdir()
    state = ("--state", str(tmp_path / "state.json"))
    settings = {
        "BURSAR_SFTP_KEY_FILE": str(keys.client),
        "BURSAR_SFTP_KNOWN_HOSTS_FILE": str(keys.known_hosts),
    }
    return Drop(bootstrap_servers, topic_prefix, group_id, "", folder, state, settings)


@pytest.mark.parametrize("has_fsync", [True, False])
async def test_batches_are_uploaded_under_a_hidden_name_and_renamed(
    drop: Drop, keys: Keys, has_fsync: bool
) -> None:
    chain = sealed_chain(2)
    drop.publish(*chain)
    async with serving(keys, drop.folder.parent, Mood(has_fsync=has_fsync)) as port:
        there = to(drop, port)
        ended = await there.once()
        assert (ended.code, ended.numbers) == (0, [1, 2]), ended.problems
        there.check_holds(*chain)
        assert (await there.once()).rows == []


@pytest.mark.parametrize("point", ["delivery_written", "delivery_started", "delivery_named"])
@pytest.mark.parametrize("takes_files", [False, True], ids=["stays", "taken"])
async def test_killed_during_an_upload_no_batch_is_lost_doubled_or_torn(
    drop: Drop, keys: Keys, point: str, takes_files: bool
) -> None:
    chain = sealed_chain(1)
    drop.publish(*chain)
    async with serving(keys, drop.folder.parent, Mood()) as port:
        there = to(drop, port)
        assert (await there.once(crash_at=f"{point}:1")).code == 137
        before = there.files()
        for name in before if takes_files else ():
            (there.folder / name).unlink()
        ended = await there.once()
        assert ended.code == 0, ended.problems
        result = there.files()
        assert {**before, **result} == {chain[0].file_name: chain[0].bytes}
        assert not (takes_files and before.keys() & result.keys()), "delivered twice"


async def test_a_connection_lost_in_the_middle_of_a_file_is_made_anew(
    drop: Drop, keys: Keys
) -> None:
    chain = sealed_chain(2)
    drop.publish(*chain)
    mood = Mood(writes_until_lost=1)
    async with serving(keys, drop.folder.parent, mood) as port:
        there = to(drop, port)
        async with there.running():
            await there.until_there(*chain)
        there.check_holds(*chain)
        assert [line for line in there.log() if line["event"] == "delivery_retries"]


async def test_a_file_that_got_its_name_before_the_connection_was_lost_is_not_sent_twice(
    drop: Drop, keys: Keys
) -> None:
    first, second = sealed_chain(2)
    drop.publish(first, second)
    mood = Mood(answers_to_the_next_name_lost=True)
    async with serving(keys, drop.folder.parent, mood) as port:
        there = to(drop, port)
        async with there.running():
            await there.until_there(second)
        assert there.files().keys() == {second.file_name}
        assert there.logged("delivery_retries") > 0


async def test_a_server_that_is_away_is_waited_for(drop: Drop, keys: Keys) -> None:
    """From the start on, and in between."""
    first, second = sealed_chain(2)
    drop.publish(first)
    async with serving(keys, drop.folder.parent, Mood()) as port:
        there = to(drop, port)
    async with there.running():
        await there.until_logged("delivery_retries")
        async with serving(keys, drop.folder.parent, Mood(), port):
            await there.until_there(first)
        before = there.logged("delivery_retries")
        there.publish(second)
        await there.until_logged("delivery_retries", before + 1)
        async with serving(keys, drop.folder.parent, Mood(), port):
            await there.until_there(second)
    there.check_holds(first, second)


async def test_a_server_that_is_not_the_known_one_gets_nothing(drop: Drop, keys: Keys) -> None:
    drop.publish(*sealed_chain(1))
    other = asyncssh.generate_private_key("ssh-ed25519")
    async with serving(replace(keys, host=other), drop.folder.parent, Mood()) as port:
        ended = await to(drop, port).once()
    assert (ended.code, ended.rows) == (1, [])
    assert "HostKeyNotVerifiable" in ended.problems
    assert list(drop.folder.iterdir()) == []


async def test_a_key_that_the_server_does_not_know_is_told(
    drop: Drop, keys: Keys, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(stranger)
    drop.settings = {**drop.settings, "BURSAR_SFTP_KEY_FILE": str(stranger)}
    async with serving(keys, drop.folder.parent, Mood()) as port:
        ended = await to(drop, port).once()
    assert ended.code == 1
    assert "PermissionDenied" in ended.problems


async def test_a_folder_that_is_not_on_the_server_is_not_made(drop: Drop, keys: Keys) -> None:
    async with serving(keys, drop.folder.parent, Mood()) as port:
        there = to(drop, port)
        ended = await replace(there, target=f"{there.target}/nowhere").once()
    assert ended.code == 1
    assert "the folder must exist" in ended.problems


async def test_a_state_file_is_asked_for(drop: Drop) -> None:
    ended = await replace(drop, target="sftp://bursar@127.0.0.1/drop", arguments=()).once()
    assert ended.code == 1
    assert "--state: is required with SFTP" in ended.problems


@pytest.mark.parametrize(
    "url",
    [
        "sftp://127.0.0.1/drop",
        "sftp://bursar:secret@127.0.0.1/drop",
        "sftp://bursar@/drop",
        "sftp://bursar@127.0.0.1",
        "sftp://bursar@127.0.0.1:port/drop",
        "sftp://bursar@127.0.0.1/drop?x=1",
    ],
)
def test_a_url_that_is_not_whole_or_holds_a_password_is_refused_without_quoting_it(
    url: str,
) -> None:
    with pytest.raises(OperatorError, match="must be sftp://user@host:port/folder") as raised:
        sftp_access(url, None, None, None)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("sftp://u@h/drop/in", "/drop/in"),
        ("sftp://u@h/~/in", "in"),
        ("sftp://u@h/~/", "."),
        ("sftp://u@h/a%20b", "/a b"),
    ],
)
def test_a_folder_is_absolute_or_in_the_users_home(url: str, folder: str) -> None:
    access = sftp_access(url, None, None, None)
    assert (access.folder, access.user, access.host, access.port) == (folder, "u", "h", 22)
