"""What the brokers know of a consumer group."""

from aiokafka import TopicPartition
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import for_code

from ..settings import KafkaAccess
from .clients import close_client, new_admin, start

STABLE = "Stable"


async def group_partitions(access: KafkaAccess, group_id: str) -> frozenset[TopicPartition] | None:
    """The partitions that the members of the group have; None while the group rebalances.

    Needs the right to read in the group, which every member has. Raises KafkaError, OSError,
    KafkaUnavailable.
    """
    admin = await start(new_admin(access))
    try:
        (response,) = await admin.describe_consumer_groups([group_id])
    finally:
        await close_client(admin)
    ((error_code, _, state, _, _, members, *_),) = response.groups
    if error_code:
        raise for_code(error_code)
    if state != STABLE:
        return None
    assignments = [ConsumerProtocolMemberAssignment.decode(member[4]) for member in members]
    return frozenset(at for assignment in assignments for at in assignment.partitions())
