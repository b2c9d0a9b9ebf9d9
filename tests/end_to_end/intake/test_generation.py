"""What members tell the leader of their group about the partitions that they had."""

from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata

from service.kafka.assignor import EvenPartitionAssignor
from service.kafka.clients import new_admin
from service.kafka.clients import running as running_client
from service.settings.access import KafkaAccess
from tests.support.intaking import MakeIntake, ready, running
from tests.support.waiting import until


async def test_a_member_says_in_which_generation_it_had_its_partitions(
    make_intake: MakeIntake, access: KafkaAccess, group_id: str
) -> None:
    """The client does not by itself, so that the leader could not tell what is over."""

    async def members_data() -> list[tuple[int, int]]:
        """What each member sent: its generation, and the number of partitions that it had."""
        async with running_client(new_admin(access)) as admin:
            (response,) = await admin.describe_consumer_groups([group_id])
        described = response.groups[0][5]
        decoded = [ConsumerProtocolMemberMetadata.decode(member[3]) for member in described]
        parsed = map(EvenPartitionAssignor.parse_member_metadata, decoded)
        return sorted((sent.generation, len(sent.partitions)) for sent in parsed)

    first, second = make_intake(), make_intake()
    async with running(first):
        await until(lambda: ready(first))
        async with running(second):
            await until(lambda: ready(second))
            await until(lambda: ready(first))
            assert first.partitions + second.partitions == 4
            new, old = await members_data()
    assert new == (EvenPartitionAssignor.DEFAULT_GENERATION_ID, 0)
    assert old[0] >= 1
    assert old[1] == 4
