"""Quarantine on a real broker: refused, released or sent again, refused again, and all gone."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from service.apply.applier import Applier
from service.database.ledger_read import LedgerReader
from service.database.outbox import Outputs
from service.export.job import ExportJob
from service.export.publish import ExportTopics
from service.messages.decode import parse
from service.relay.loop import Relay, RelayPauses
from service.settings.access import KafkaAccess
from service.settings.parts import RelayLimits
from tests.support.commands import Commands
from tests.support.guards import Unguarded, opened_guard
from tests.support.quarantine import (
    DOCUMENT,
    MANIFEST,
    PROFILE,
    WHY,
    gauges,
    in_quarantine,
    state,
)
from tests.support.topics import Read, configure_topic, create_topic, read_topic
from tests.support.write_path import WritePath, fine, payment, profiles_of, write_path

BALANCES = "balance-changed.v1"
SETTINGS = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": "16777216"}
SMALL, LARGE = "2000", "16777216"
QUICK = RelayLimits(relay_idle_ms=20, shutdown_seconds_max=1)
SHORT = RelayPauses(backoff_ms_max=200, topic_retry_ms=200)
SECONDS_MAX = 60


@dataclass(frozen=True)
class World:
    """One service's database and topics, in this process."""

    path: WritePath
    commands: Commands
    relay: Relay
    admin: AdminClient
    servers: str
    prefix: str

    async def export(self) -> None:
        profiles = profiles_of(PROFILE)
        topics = ExportTopics(self.prefix + DOCUMENT, self.prefix + MANIFEST)
        job = ExportJob(self.path.applier, topics, profiles)
        await job.run_profile(profiles.profiles[0])

    def limit(self, contract: str, bytes_max: str) -> None:
        configure_topic(self.admin, self.prefix + contract, "max.message.bytes", bytes_max)

    def sent(self, contract: str) -> list[Read]:
        return read_topic(self.servers, self.prefix + contract)

    async def send(self) -> None:
        """Until the outbox is empty; a refusal takes more than one page."""
        async with asyncio.timeout(SECONDS_MAX):
            while (await self.relay.status()).rows_waiting:
                await self.relay.run_once()

    async def release(self) -> None:
        """The only record there is."""
        (record_id,) = await in_quarantine(self.path)
        await self.commands.lines("quarantined", "release", "--id", str(record_id), *WHY)


@pytest.fixture
async def world(
    database_url: str,
    tmp_path: Path,
    kafka_admin: AdminClient,
    bootstrap_servers: str,
    topic_prefix: str,
) -> AsyncIterator[World]:
    contracts = (
        *(BALANCES, DOCUMENT, MANIFEST, "loan-closed.v1", "rejected.v1", "operator-action.v1"),
    )
    topics = [
        create_topic(kafka_admin, topic_prefix + contract, 3, SETTINGS) for contract in contracts
    ]
    file = tmp_path / "profiles.toml"
    file.write_text(PROFILE)
    settings = {"BURSAR_PROFILES_FILE": str(file), "BURSAR_TOPIC_PREFIX": topic_prefix}
    commands = Commands(database_url, bootstrap_servers, **settings)
    access = KafkaAccess(
        kafka_bootstrap_servers=bootstrap_servers,
        kafka_request_timeout_ms=2_000,
        topic_prefix=topic_prefix,
    )
    async with write_path(database_url) as path:
        balances, _, _, loans, rejected, actions = topics
        outputs = Outputs(balances, loans, rejected, actions, "/tests")
        path.applier = Applier(Unguarded(path.pool), LedgerReader(parse), outputs)
        guard = await opened_guard(path.pool, access, outputs=topics)
        relay = Relay(guard, access, "relay", QUICK, pauses=SHORT)
        yield World(path, commands, relay, kafka_admin, bootstrap_servers, topic_prefix)
        await relay.close()


async def quarantined_batch(world: World) -> None:
    """The document does not fit its topic; the manifest of two lines fits."""
    world.limit(DOCUMENT, SMALL)
    await world.path.take(*(fine(fine_id=f"F-{number}") for number in range(2)))
    await world.export()
    await world.send()
    assert (world.sent(DOCUMENT), len(world.sent(MANIFEST))) == ([], 1)
    assert await state(world.commands) == "quarantined"
    assert await gauges(world.path) == (1, 1)


async def published(world: World, manifests: int) -> None:
    """The topic has the document once, as it was sealed; the alarm is off."""
    assert await state(world.commands) == "sealed"
    await world.send()
    assert await state(world.commands) == "published"
    assert await gauges(world.path) == (0, 0)
    (document,) = world.sent(DOCUMENT)
    assert [document.value] == [await world.path.value("SELECT document FROM export_batch")]
    assert (document.key, dict(document.headers)["ce_id"]) == (b"6050/SIS", b"6050/SIS/1")
    assert len(world.sent(MANIFEST)) == manifests


async def test_a_batch_too_large_for_its_topic_is_published_after_its_release(
    world: World,
) -> None:
    await quarantined_batch(world)
    world.limit(DOCUMENT, LARGE)
    await world.release()
    await published(world, manifests=1)


async def test_a_batch_too_large_for_its_topic_may_be_sent_again_instead(world: World) -> None:
    await quarantined_batch(world)
    world.limit(DOCUMENT, LARGE)
    await world.commands.call("export", "resend", "--profile", "SIS", "--batch", "1")
    await published(world, manifests=2)


async def test_a_record_that_the_broker_refuses_again_is_in_quarantine_again(
    world: World,
) -> None:
    await quarantined_batch(world)
    (first,) = await in_quarantine(world.path)
    await world.release()
    assert await state(world.commands) == "sealed"
    await world.send()
    assert await state(world.commands) == "quarantined"
    assert await gauges(world.path) == (1, 1)
    (second,) = await in_quarantine(world.path)
    assert second.outbox_id > first.outbox_id
    (shown,) = await world.commands.lines("quarantined", "show", "--id", str(second))
    assert [(row["operator"], row["outcome"]) for row in shown["decisions"]] == [
        ("ann", f"queued as {second}")
    ]
    await world.commands.call("export", "resend", "--profile", "SIS", "--batch", "1")
    await world.send()
    (third,) = await in_quarantine(world.path)
    assert third.outbox_id > second.outbox_id
    world.limit(DOCUMENT, LARGE)
    await world.release()
    await published(world, manifests=2)


async def test_an_event_that_is_released_fills_the_gap_of_its_account(world: World) -> None:
    await world.path.take(fine())
    await world.path.take(payment(fine_id="F-1", amount="1.00", comment="x" * 900))
    await world.export()
    await world.path.take(payment(payment_id="PAY-2", amount="2.00"))
    world.limit(BALANCES, "1500")
    await world.send()

    def sequences() -> list[int]:
        return [json.loads(record.value or b"")["sequence"] for record in world.sent(BALANCES)]

    assert sequences() == [1, 2, 4]
    (record_id,) = await in_quarantine(world.path)
    (shown,) = await world.commands.lines("quarantined", "show", "--id", str(record_id))
    account = ("institution_id", "patron_id", "currency", "sequence")
    assert [shown[name] for name in account] == ["6050", "P-1", "USD", 3]
    world.limit(BALANCES, LARGE)
    await world.release()
    await world.send()
    assert sequences() == [1, 2, 4, 3]
    assert await gauges(world.path) == (0, 0)
