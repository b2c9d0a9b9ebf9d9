"""The ways in which an older database can come back, each from a day's work to the day after it.

Each leaves no process behind, and a database that must not be written to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from confluent_kafka.admin import AdminClient

from service.kafka.topics import OUTPUTS
from tests.support import inputs
from tests.support.process import Site
from tests.support.restoring import LOST, OLDER, SECONDS_MAX, Backups, fine, last_line, send
from tests.support.topic_rights import deny_reading
from tests.support.topics import (
    delete_records,
    delete_topic,
    end_offsets,
    forget_group,
)

Variant = Callable[["World"], Awaitable[None]]


@dataclass(slots=True)
class World:
    """`records`: how many were sent to the input topics."""

    site: Site
    backups: Backups
    admin: AdminClient
    records: int = 0

    def send(self, contract: str, *events: Mapping[str, object]) -> None:
        self.records += send(self.site, contract, *events)

    async def idle(self) -> None:
        await self.site.until_idle(self.records)

    async def works(self, work: Callable[[], Awaitable[None]]) -> None:
        """A service runs while `work` is done, and stops when everything is applied and sent."""
        await self.site.start()
        await work()
        await self.idle()
        await self.site.stop()

    async def first_day(self) -> None:
        """Two fines come; nothing is exported yet."""
        self.send("fine-created.v1", fine(1), fine(2))

    async def exports(self) -> None:
        await self.idle()
        await self.site.command("export", "run", "--profile", "bursar")

    async def exports_more(self) -> None:
        """Another fine, in a batch of its own."""
        self.send("fine-created.v1", fine(8))
        await self.exports()

    async def everything(self) -> None:
        """Fines, changes, an export with a lost item, payments, an answer, bad records."""
        self.send("fine-created.v1", fine(3), fine(4, LOST), {"bad": True})
        self.send("fine-changed.v1", inputs.fine_changed(fine_id="F-2"))
        await self.exports()
        self.send("bursar-payment.v1", inputs.bursar_payment(fine_id="F-1"))
        self.send("bursar-payment.v1", inputs.bursar_payment(payment_id="P-9", fine_id="F-99"))
        self.send("export-response.v1", inputs.export_response())

    async def decides(self) -> None:
        """A person discards the bad records."""
        await self.idle()
        why = ("--reason", "of no use")
        await self.site.command("rejected", "discard", "--all", "--yes", *why)

    async def ends_by_itself(self) -> None:
        """The running service notices, says so in one line, and ends with the status for it."""
        process = self.site.take_over()
        async with asyncio.timeout(SECONDS_MAX):
            await process.wait()
        log = (self.site.folder / "one.log").read_text("utf-8")
        assert process.returncode == OLDER, log[-2000:]
        assert "older database" in last_line(log)


async def only_exports_since_the_backup(world: World) -> None:
    await world.works(world.first_day)
    backup = await world.backups.take()
    await world.works(world.exports)
    await world.backups.put_back(backup)


async def a_day_of_everything(world: World) -> None:
    await world.works(world.first_day)
    backup = await world.backups.take()
    await world.works(world.everything)
    await world.backups.put_back(backup)


async def the_same_backup_twice(world: World) -> None:
    await world.works(world.first_day)
    backup = await world.backups.take()
    await world.works(world.everything)
    await world.backups.put_back(backup)
    await world.site.start()
    await world.ends_by_itself()
    await world.backups.put_back(backup)


async def group_offsets_gone(world: World) -> None:
    await a_day_of_everything(world)
    await asyncio.to_thread(forget_group, world.admin, world.site.group)


async def an_output_topic_first_written_after_the_backup(world: World) -> None:
    """Nothing but a rejected record tells of the day that is missing."""
    await world.works(world.first_day)
    backup = await world.backups.take()

    async def bad_record() -> None:
        world.send("fine-created.v1", {"bad": True})

    await world.works(bad_record)
    await world.backups.put_back(backup)
    await asyncio.to_thread(forget_group, world.admin, world.site.group)


async def only_a_decision_since_the_backup(world: World) -> None:
    """A person has paused the profile, and nothing else has happened."""
    await world.works(world.first_day)
    backup = await world.backups.take()

    async def pause() -> None:
        why = ("--reason", "year end")
        await world.site.command("export", "pause", "--profile", "bursar", *why)

    await world.works(pause)
    await world.backups.put_back(backup)


async def an_empty_database_beside_old_topics(world: World) -> None:
    await world.works(world.first_day)
    await world.works(world.exports)
    await world.backups.empty()
    await asyncio.to_thread(forget_group, world.admin, world.site.group)
    await world.site.command("migrate")


async def output_records_expired_by_retention(world: World) -> None:
    await only_exports_since_the_backup(world)
    await asyncio.to_thread(forget_group, world.admin, world.site.group)
    for contract in OUTPUTS:
        topic = world.site.topic(contract)
        ends = await asyncio.to_thread(end_offsets, world.site.servers, topic)
        await asyncio.to_thread(delete_records, world.admin, topic, ends)


async def an_output_topic_that_cannot_be_read(world: World) -> None:
    """The group's offsets would tell nothing, and the one topic that would may not be read."""
    await only_exports_since_the_backup(world)
    await asyncio.to_thread(forget_group, world.admin, world.site.group)
    await asyncio.to_thread(deny_reading, world.admin, world.site.topic("export-batch.v1"))


async def a_failover_that_lost_commits(world: World) -> None:
    """The last commit tells nothing to Kafka: a payment that waits for its fine."""
    await world.site.start()
    await world.first_day()
    await world.idle()
    backup = await world.backups.take()
    world.send("bursar-payment.v1", inputs.bursar_payment(fine_id="F-99"))
    await world.idle()
    await world.backups.put_back(backup)
    await world.ends_by_itself()


async def exchanged_under_a_running_service_with_exports_alone(world: World) -> None:
    await world.site.start()
    await world.first_day()
    await world.idle()
    backup = await world.backups.take()
    await world.exports()
    await world.idle()
    await world.backups.put_back(backup)
    await world.ends_by_itself()


async def exchanged_under_a_running_service_with_inputs(world: World) -> None:
    await world.site.start()
    await world.first_day()
    await world.idle()
    backup = await world.backups.take()
    await world.everything()
    await world.idle()
    world.send("fine-created.v1", fine(5))
    await world.backups.put_back(backup)
    world.send("fine-created.v1", fine(6))
    await world.ends_by_itself()


async def output_topics_made_anew_after_the_backup(world: World) -> None:
    """The stored offsets are of the former topics, and not below those of the new ones."""

    async def a_batch_is_billed_and_another_waits() -> None:
        """Both of one patron, so that no partition is written that was not written before."""
        world.send("fine-created.v1", fine(1))
        await world.exports()
        world.send("fine-created.v1", {**fine(3), "patron": fine(1)["patron"]})

    await world.works(a_batch_is_billed_and_another_waits)
    backup = await world.backups.take()
    for contract in OUTPUTS:
        await asyncio.to_thread(delete_topic, world.admin, world.site.topic(contract))
    await world.site.command("topics", "create", "--partitions", "2")
    await world.works(world.exports)
    await world.backups.put_back(backup)
    await asyncio.to_thread(forget_group, world.admin, world.site.group)


async def exchanged_by_an_empty_database_under_a_running_service(world: World) -> None:
    await world.site.start()
    await world.everything()
    await world.idle()
    await world.backups.empty()
    await world.ends_by_itself()
    await world.site.command("migrate")


VARIANTS: tuple[Variant, ...] = (
    only_exports_since_the_backup,
    a_day_of_everything,
    the_same_backup_twice,
    group_offsets_gone,
    an_output_topic_first_written_after_the_backup,
    only_a_decision_since_the_backup,
    an_empty_database_beside_old_topics,
    output_records_expired_by_retention,
    a_failover_that_lost_commits,
    exchanged_under_a_running_service_with_exports_alone,
    exchanged_under_a_running_service_with_inputs,
    output_topics_made_anew_after_the_backup,
    exchanged_by_an_empty_database_under_a_running_service,
)
# Those after which the topics tell all that was lost. The others are refused, or lose something
# that only the database knew.
RECOVERABLE: tuple[Variant, ...] = (
    only_exports_since_the_backup,
    a_day_of_everything,
    the_same_backup_twice,
    group_offsets_gone,
    an_output_topic_first_written_after_the_backup,
    an_empty_database_beside_old_topics,
    a_failover_that_lost_commits,
    exchanged_under_a_running_service_with_exports_alone,
    exchanged_under_a_running_service_with_inputs,
    exchanged_by_an_empty_database_under_a_running_service,
)
