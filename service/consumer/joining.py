"""Joins the consumer group of the service with a Kafka consumer of its own."""

from ..kafka.clients import new_consumer, start
from ..restore.guard import Guard
from ..settings.access import KafkaAccess
from ..settings.parts import IntakeLimits
from .group import IntakePauses, Source
from .membership import Member


async def join(
    access: KafkaAccess, guard: Guard, source: Source, limits: IntakeLimits, pauses: IntakePauses
) -> Member:
    """Starts a Kafka consumer that joins the group in the background. Raises KafkaUnavailable."""
    consumer = await start(new_consumer(access, source.group_id, limits))
    member = Member(consumer, access, guard, source, limits, pauses)
    consumer.subscribe(sorted(source.contracts), listener=member.group)
    return member
