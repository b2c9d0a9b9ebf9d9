"""Membership of the consumer group: what is assigned to us."""

import asyncio
from collections.abc import Collection

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from ..runtime.telemetry import Event, get_log

log = get_log(__name__)


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]  # the client has no types
    """The client logs and swallows what a callback raises, so these only take note.

    The consumer hands records out before its callback returns, from a position of its own choosing:
    hence the pause in the first line. The loop then loads the offsets, seeks and resumes; that may
    take its time, for the heartbeats go on. `changed` says that what was loaded holds no more.
    """

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self.assigned: frozenset[TopicPartition] = frozenset()
        self.changed = asyncio.Event()
        self.has_joined = False
        self.problem: Exception | None = None

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        try:
            self._consumer.pause(*assigned)
        except Exception as problem:  # noqa: BLE001 - kept for the loop, which raises it
            self.problem = problem
        self.assigned = frozenset(assigned)
        self.has_joined = True
        self.changed.set()
        log.info(Event.PARTITIONS_ASSIGNED, partitions=len(assigned))

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self.assigned = frozenset()
        self.changed.set()
        if revoked:
            log.info(Event.PARTITIONS_REVOKED, partitions=len(revoked))
