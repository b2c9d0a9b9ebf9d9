"""A database belongs to one Kafka cluster and topic prefix, until a person says otherwise."""

from __future__ import annotations

import pytest

from service.database.session import create_pool
from service.restore.check import RestoreCheck, Scope
from service.restore.findings import OtherKafka
from service.restore.watch import TopicWatch
from service.settings import KafkaSettings
from tests.restore.test_older_database import commands_of
from tests.restore.variants import World, only_exports_since_the_backup
from tests.support.restoring import OLDER, start_and_end, state_of

WHY = ("--reason", "moved to a new cluster", "--operator", "ada")
ANOTHER = "UPDATE kafka_home SET cluster_id = 'another' RETURNING topic_prefix"
HOME = "SELECT cluster_id, topic_prefix FROM kafka_home"


async def test_another_cluster_stops_every_start_until_a_person_says_that_the_topics_moved(
    world: World,
) -> None:
    await world.works(world.first_day)
    (home,) = await world.site.rows(HOME)
    assert (home["topic_prefix"], bool(home["cluster_id"])) == (world.site.prefix, True)
    await world.site.rows(ANOTHER)
    before = await state_of(world.site)
    ended = await start_and_end(world.site)
    assert (ended.code, "belongs to the cluster another" in ended.line) == (OLDER, True)
    assert await start_and_end(world.site, "export", "run", "--all") == ended
    await _show_and_clear_say_the_same(world)
    await _a_running_service_notices_it(world)
    assert await state_of(world.site) == before
    assert await world.site.rows("SELECT * FROM restore_verdict") == []
    await _accept_the_move(world)
    assert await world.site.rows(HOME) == [home]
    await world.works(world.exports)


async def _show_and_clear_say_the_same(world: World) -> None:
    commands = commands_of(world)
    (finding,) = await commands.lines("restore-check", "show", code=OLDER)
    assert finding["finding"] == "other_kafka"
    await _check_says_nothing_of_topics(world)
    for option in ((), ("--accept-existing-topics",), ("--accept-foreign-records",)):
        assert (await commands.call("restore-check", "clear", *option, *WHY)).exit_code != 0


async def _check_says_nothing_of_topics(world: World) -> None:
    """They are not those of the database, and with another prefix there are none."""
    commands = commands_of(world)
    commands.environment["BURSAR_TOPIC_PREFIX"] = f"{world.site.prefix}not."
    checked = (await commands.call("check")).stdout
    assert "belongs to the cluster another" in checked
    for words in ("topics create", "input topics", "limits"):
        assert words not in checked


async def _a_running_service_notices_it(world: World) -> None:
    """As when the addresses of the brokers lead to another cluster from now on."""
    settings = KafkaSettings.model_construct(
        kafka_bootstrap_servers=world.site.servers, topic_prefix=world.site.prefix
    )
    async with await create_pool(world.site.database_url) as pool:
        watch = TopicWatch(pool, RestoreCheck(settings, Scope(world.site.group, [], [])), settings)
        with pytest.raises(OtherKafka, match="another"):
            await watch.run_once()
        assert watch.problem() is None


async def _accept_the_move(world: World) -> None:
    commands = commands_of(world)
    accepted = await commands.call("restore-check", "accept-move", *WHY)
    assert accepted.exit_code == 0, accepted.output
    assert f"and the topic prefix {world.site.prefix}" in accepted.stdout
    (again,) = await commands.lines("restore-check", "accept-move", *WHY)
    assert again["moved"] is False
    (action,) = await world.site.rows("SELECT action, operator, reason FROM operator_action")
    assert tuple(action.values()) == ("restore_check_move", "ada", "moved to a new cluster")


async def test_a_move_is_refused_as_long_as_something_else_has_to_be_done_before(
    world: World,
) -> None:
    commands = commands_of(world)
    unknown = await commands.call("restore-check", "accept-move", *WHY)
    assert (unknown.exit_code, "no Kafka cluster yet" in unknown.output) == (1, True)
    await only_exports_since_the_backup(world)
    await world.site.rows("UPDATE kafka_home SET topic_prefix = 'former.'")
    await world.site.rows(
        "INSERT INTO outbox (topic, keys, payloads, headers, recorded_at)"
        " VALUES ('former.rejected.v1', '{}', '{}', '{}', now())"
    )
    waiting = await commands.call("restore-check", "accept-move", *WHY)
    assert "the outbox holds records for topics with the prefix former." in waiting.output
    await world.site.rows("UPDATE kafka_home SET topic_prefix = $1", world.site.prefix)
    await world.site.rows("DELETE FROM outbox")
    assert (await start_and_end(world.site)).code == OLDER
    await world.site.rows(ANOTHER)
    recovered = await commands.call("recover", "--dry-run")
    assert (recovered.exit_code, "belongs to the cluster another" in recovered.output) == (3, True)
    older = await commands.call("restore-check", "accept-move", *WHY)
    assert (older.exit_code, "an older database was restored" in older.output) == (1, True)
    assert await world.site.rows("SELECT * FROM operator_action") == []
