"""The assignor of the consumer group: each topic's partitions are spread evenly over its members.

The client's sticky assignor counts the partitions of all topics together. With four topics of
twelve partitions it gives two whole topics to each of two members, and a busy topic is read by one
of them alone. Name, version and user data are the client's, so that members of a release with that
assignor may be in the same group: the leader calculates, whichever release it is.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka import TopicPartition
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)

from .assignor_shares import shares

Partitions = Mapping[str, Collection[int]]


@dataclass(frozen=True, slots=True)
class GroupMember:
    """What a member tells the leader: its topics, and what it read in which generation."""

    topics: frozenset[str]
    previous: frozenset[TopicPartition] = field(default_factory=frozenset)
    generation: int = -1


def spread(
    partitions: Partitions, members: Mapping[str, GroupMember]
) -> dict[str, set[TopicPartition]]:
    """Gives every partition of `partitions` (numbers by topic) to a member subscribed to its topic.

    Two members of a topic differ by one partition of it at most. If all are subscribed to the same
    topics, they differ by one partition in all, too. A partition stays with the member that had it
    unless one of these demands that it moves. The same arguments give the same assignment.
    """
    owners = _previous_owners(members)
    held: dict[str, dict[str, list[int]]] = {}
    for topic in sorted(partitions):
        subscribed = [name for name in sorted(members) if topic in members[name].topics]
        held[topic] = {name: [] for name in subscribed}
        for number in sorted(partitions[topic]):
            owner = owners.get(TopicPartition(topic, number))
            if owner in held[topic]:
                held[topic][owner].append(number)
    counts = {
        topic: {name: len(numbers) for name, numbers in by_member.items()}
        for topic, by_member in held.items()
    }
    sizes = {topic: len(numbers) for topic, numbers in partitions.items()}
    assignment: dict[str, set[TopicPartition]] = {name: set() for name in members}
    for topic, share in shares(sizes, counts).items():
        for name, numbers in _filled(partitions[topic], held[topic], share).items():
            assignment[name].update(TopicPartition(topic, number) for number in numbers)
    return assignment


def _previous_owners(members: Mapping[str, GroupMember]) -> dict[TopicPartition, str]:
    """Of two members that claim a partition, the one of the later generation had it last."""
    owners: dict[TopicPartition, str] = {}
    for name in sorted(members):
        for at in members[name].previous:
            rival = owners.get(at)
            if rival is None or members[rival].generation < members[name].generation:
                owners[at] = name
    return owners


def _filled(
    numbers: Collection[int], held: Mapping[str, Sequence[int]], share: Mapping[str, int]
) -> dict[str, list[int]]:
    """The partitions of one topic: each member keeps its lowest ones, the others fill the gaps."""
    kept = {name: list(held[name][:most]) for name, most in share.items()}
    taken = set().union(*kept.values())
    free = iter(sorted(set(numbers) - taken))
    for name, most in share.items():
        kept[name].extend(next(free) for _ in range(most - len(kept[name])))
    return kept


class EvenPartitionAssignor(StickyPartitionAssignor):  # type: ignore[misc]  # the client has no types
    """The client's protocol with `spread` as the leader's calculation."""

    @classmethod
    def assign(
        cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Called by the client of the leader: the assignment of each member."""
        parsed = {name: _member(cls, metadata) for name, metadata in members.items()}
        topics = frozenset().union(*(member.topics for member in parsed.values()))
        known = {topic: cluster.partitions_for_topic(topic) for topic in sorted(topics)}
        partitions = {topic: numbers for topic, numbers in known.items() if numbers}
        return {
            name: ConsumerProtocolMemberAssignment(cls.version, _by_topic(assigned), b"")
            for name, assigned in spread(partitions, parsed).items()
        }


def new_assignor() -> type[EvenPartitionAssignor]:
    """An assignor class for a single consumer.

    The client keeps a member's previous assignment on the class: two consumers of a process that
    share the class would each claim what the other one read.
    """

    class MemberAssignor(EvenPartitionAssignor):
        member_assignment = None

    return MemberAssignor


def _member(
    assignor: type[EvenPartitionAssignor], metadata: ConsumerProtocolMemberMetadata
) -> GroupMember:
    """User data that cannot be read counts as none: the client's parser logs it."""
    parsed = assignor.parse_member_metadata(metadata)
    return GroupMember(
        frozenset(parsed.subscription), frozenset(parsed.partitions), parsed.generation
    )


def _by_topic(assigned: Collection[TopicPartition]) -> list[tuple[str, list[int]]]:
    topics: dict[str, list[int]] = defaultdict(list)
    for at in sorted(assigned):
        topics[at.topic].append(at.partition)
    return sorted(topics.items())
