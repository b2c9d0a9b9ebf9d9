"""The assignor of the consumer group, which decides which member reads which partitions: it spreads
the partitions of each topic evenly over the members.

The Kafka client's own sticky assignor balances only the number of partitions of all topics
together. With four topics of twelve partitions and two members, the client's assignor gives each
member two whole topics, so that a single member has to read all of a busy topic. This assignor has
the same name, version and user data as the client's, so that members with either of the two can be
in one group; the group's leader calculates the assignment with its own.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka import TopicPartition
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)

Partitions = Mapping[str, Collection[int]]
Sizes = Mapping[str, int]
Counts = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class GroupMember:
    """What a member of the group tells the group's leader: its topics, and the partitions that it
    had in the latest generation (state between two rebalances) in which it took part.
    """

    topics: frozenset[str]
    previous: frozenset[TopicPartition] = field(default_factory=frozenset)
    generation: int = -1


def spread(
    partitions: Partitions, members: Mapping[str, GroupMember]
) -> dict[str, set[TopicPartition]]:
    """Assigns every partition of `partitions` (partition numbers by topic) to a member that is
    subscribed to the topic.

    Any two members that are subscribed to a topic get the same number of its partitions, or one
    more or less. If all members are subscribed to the same topics, their total numbers of
    partitions also differ by at most one. A partition stays with the member that had it unless the
    even distribution requires that it moves. The same arguments always give the same assignment of
    partitions.
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
    """The last owner of each partition: if two members claim one, that of the later generation."""
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
    free = iter(sorted(set(numbers).difference(*kept.values())))
    for name, most in share.items():
        kept[name].extend(next(free) for _ in range(most - len(kept[name])))
    return kept


def shares(sizes: Sizes, held: Counts) -> dict[str, dict[str, int]]:
    """Returns how many partitions each member gets, by topic and member: balanced for each topic
    and in total.

    If a topic has n partitions and m members, each member gets n // m of them, and n % m of the
    members get one more. Which members get the extra partitions is calculated as a minimum cost
    flow from topics to members. In this flow an extra partition costs nothing if the member already
    has more than n // m partitions of the topic, and one move otherwise. An uneven total number of
    partitions costs more than all moves together.

    `sizes` has the number of partitions of each topic, and `held` how many of them each subscribed
    member has now, which may be 0. A topic to which no member is subscribed is not in the result.
    """
    topics = [topic for topic in sorted(sizes) if held[topic]]
    base = {topic: sizes[topic] // len(held[topic]) for topic in topics}
    load = {name: 0 for topic in topics for name in held[topic]}
    for topic in topics:
        for name in held[topic]:
            load[name] += base[topic]
    costs = {
        topic: {name: int(count <= base[topic]) for name, count in sorted(held[topic].items())}
        for topic in topics
    }
    extras = _Extras({topic: set() for topic in topics}, costs, load)
    for topic in topics:
        for _ in range(sizes[topic] % len(held[topic])):
            extras.place(topic)
    return {
        topic: {name: base[topic] + (name in extras.holders[topic]) for name in costs[topic]}
        for topic in topics
    }


@dataclass(slots=True)
class _Extras:
    """The flow: which members hold an extra partition of each topic, and each member's load."""

    holders: dict[str, set[str]]
    costs: Counts
    load: dict[str, int]

    def place(self, topic: str) -> None:
        """Places an extra partition of `topic` along the cheapest path of the residual graph.

        Bellman and Ford's algorithm: a path goes from a topic to a member without an extra
        partition of it, and from a member back to a topic whose extra partition it gives up.
        Cheapest paths, one after the other, make the cheapest flow.
        """
        to_topic: dict[str, tuple[int, str | None]] = {topic: (0, None)}
        to_member: dict[str, tuple[int, str]] = {}
        waiting = [topic]
        while waiting:
            current = waiting.pop(0)
            for name, cost in self.costs[current].items():
                total = to_topic[current][0] + cost
                if name in self.holders[current] or total >= to_member.get(name, (total + 1,))[0]:
                    continue
                to_member[name] = total, current
                for other in self.costs:
                    back = total - self.costs[other].get(name, 0)
                    if name in self.holders[other] and (
                        other not in to_topic or back < to_topic[other][0]
                    ):
                        to_topic[other] = back, name
                        waiting.append(other)
        # The load decides; the moves decide between equal loads.
        last = min(to_member, key=lambda name: (self.load[name], to_member[name][0], name))
        self.load[last] += 1
        self._reassign(last, to_member, to_topic)

    def _reassign(
        self,
        last: str,
        to_member: Mapping[str, tuple[int, str]],
        to_topic: Mapping[str, tuple[int, str | None]],
    ) -> None:
        """Follows a path from its end: each member on it takes one and gives another one up."""
        name: str | None = last
        while name is not None:
            topic = to_member[name][1]
            self.holders[topic].add(name)
            name = to_topic[topic][1]
            if name is not None:
                self.holders[topic].discard(name)


class EvenPartitionAssignor(StickyPartitionAssignor):  # type: ignore[misc]  # the client has no types
    """The Kafka client's sticky assignor, except that the leader assigns with `spread`."""

    @classmethod
    def assign(
        cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Returns the partitions of each member; the Kafka client calls it in the process that is
        the group's leader.
        """
        parsed = {name: _member(cls, metadata) for name, metadata in members.items()}
        topics = frozenset().union(*(member.topics for member in parsed.values()))
        known = {topic: cluster.partitions_for_topic(topic) for topic in sorted(topics)}
        partitions = {topic: numbers for topic, numbers in known.items() if numbers}
        return {
            name: ConsumerProtocolMemberAssignment(cls.version, _by_topic(assigned), b"")
            for name, assigned in spread(partitions, parsed).items()
        }


def new_assignor(generation: Callable[[], int]) -> type[EvenPartitionAssignor]:
    """Returns an assignor class for one consumer; `generation` returns the group's generation in
    which the consumer is.

    The client stores the consumer's previous partitions as an attribute of this class. If two
    consumers in a process shared one class, each would claim the partitions of the other. The
    client itself never tells the class in which generation the consumer had these partitions.
    Without the generation the leader could not tell an outdated claim, of a member that was away,
    from the claim of the member that reads the partition now.
    """

    class MemberAssignor(EvenPartitionAssignor):
        member_assignment = None

        @classmethod
        def on_assignment(cls, assignment: ConsumerProtocolMemberAssignment) -> None:
            """Called by the client of each member when it has joined a generation."""
            super().on_assignment(assignment)
            cls.on_generation_assignment(generation())

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
