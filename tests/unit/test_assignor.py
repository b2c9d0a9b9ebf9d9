"""How a group's leader spreads partitions: even per topic, even in all, and with few moves."""

import itertools
from collections import Counter
from collections.abc import Mapping

import pytest
from aiokafka import TopicPartition
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)
from aiokafka.protocol.metadata import MetadataResponse_v0
from hypothesis import given
from hypothesis import strategies as st

from service.kafka.assignor import EvenPartitionAssignor, GroupMember, new_assignor, spread

FOUR = {"changed": 12, "created": 12, "payment": 12, "response": 12}
Assignment = Mapping[str, set[TopicPartition]]
Sizes = Mapping[str, int]


def numbers(sizes: Sizes) -> dict[str, range]:
    return {topic: range(size) for topic, size in sizes.items()}


def group(
    names: str, sizes: Sizes = FOUR, previous: Assignment | None = None
) -> dict[str, GroupMember]:
    kept = previous or {}
    return {name: GroupMember(frozenset(sizes), frozenset(kept.get(name, ())), 1) for name in names}


def per_topic(assignment: Assignment, topic: str) -> list[int]:
    return sorted(sum(at.topic == topic for at in part) for part in assignment.values())


def moves(before: Assignment, after: Assignment) -> int:
    return sum(len(part - after.get(name, set())) for name, part in before.items())


def check_whole(assignment: Assignment, sizes: Sizes) -> None:
    """Every partition has exactly one member."""
    counted = Counter(itertools.chain.from_iterable(assignment.values()))
    wanted = {TopicPartition(topic, number) for topic in sizes for number in range(sizes[topic])}
    assert counted == Counter(wanted)


def check_even(assignment: Assignment, sizes: Sizes) -> None:
    for topic in sizes:
        counts = per_topic(assignment, topic)
        assert counts[-1] - counts[0] <= 1, topic
    totals = [len(part) for part in assignment.values()]
    assert max(totals) - min(totals) <= 1


@pytest.mark.parametrize(
    ("names", "created", "totals"),
    [
        ("A", [12], [48]),
        ("AB", [6, 6], [24, 24]),
        ("ABC", [4, 4, 4], [16, 16, 16]),
        ("ABCDE", [2, 2, 2, 3, 3], [9, 9, 10, 10, 10]),
    ],
)
def test_each_topic_is_spread_evenly(names: str, created: list[int], totals: list[int]) -> None:
    assignment = spread(numbers(FOUR), group(names))
    check_whole(assignment, FOUR)
    assert per_topic(assignment, "created") == created
    assert sorted(map(len, assignment.values())) == totals


def test_the_remainders_of_different_topics_go_to_different_members() -> None:
    sizes = {"a": 1, "b": 1, "c": 1}
    assert [len(part) for part in spread(numbers(sizes), group("ABC", sizes)).values()] == [1, 1, 1]


def test_a_second_member_takes_half_of_each_topic_and_nothing_else_moves() -> None:
    alone = spread(numbers(FOUR), group("A"))
    both = spread(numbers(FOUR), group("AB", previous=alone))
    assert moves(alone, both) == 24
    assert all(per_topic(both, topic) == [6, 6] for topic in FOUR)


def test_the_partitions_of_a_member_that_left_are_shared_and_no_others_move() -> None:
    before = spread(numbers(FOUR), group("ABC"))
    after = spread(numbers(FOUR), group("AC", previous=before))
    check_whole(after, FOUR)
    assert moves({name: before[name] for name in "AC"}, after) == 0


def test_two_whole_topics_of_the_client_s_own_assignor_are_divided() -> None:
    of = {topic: {TopicPartition(topic, number) for number in range(12)} for topic in FOUR}
    before = {"A": of["changed"] | of["created"], "B": of["payment"] | of["response"]}
    after = spread(numbers(FOUR), group("AB", previous=before))
    assert all(per_topic(after, topic) == [6, 6] for topic in FOUR)
    assert moves(before, after) == 24


def test_of_two_members_that_claim_a_partition_the_later_generation_keeps_it() -> None:
    owned = frozenset({TopicPartition("a", 1)})
    topics = frozenset({"a"})
    for stale, current in ("AB", "BA"):
        members = {
            stale: GroupMember(topics, owned, 3),
            current: GroupMember(topics, owned, 4),
        }
        assert TopicPartition("a", 1) in spread({"a": range(2)}, members)[current]


def test_a_member_gets_partitions_of_its_own_topics_alone() -> None:
    members = {"A": GroupMember(frozenset("ab")), "B": GroupMember(frozenset("b"))}
    assignment = spread({"a": range(3), "b": range(3), "c": range(3)}, members)
    assert {at.topic for at in assignment["A"]} == {"a"} | {"b"}
    assert {at.topic for at in assignment["B"]} == {"b"}
    assert {topic: per_topic(assignment, topic) for topic in "abc"} == {
        "a": [0, 3],
        "b": [1, 2],
        "c": [0, 0],
    }


SIZES = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 13), min_size=1)
NAMES = st.sets(st.sampled_from("ABCDEF"), min_size=1).map(lambda names: "".join(sorted(names)))


@given(SIZES, st.lists(NAMES, min_size=1, max_size=6))
def test_whoever_comes_and_goes_the_assignment_is_whole_and_even(
    sizes: Sizes, generations: list[str]
) -> None:
    """And nothing moves where nobody came or went."""
    assignment: Assignment = {}
    for names in generations:
        before, assignment = assignment, spread(numbers(sizes), group(names, sizes, assignment))
        check_whole(assignment, sizes)
        check_even(assignment, sizes)
        if set(before) == set(assignment):
            assert before == assignment
        assert spread(numbers(sizes), group(names, sizes, assignment)) == assignment


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 3), min_size=1),
    st.sampled_from(("AB", "ABC")),
    st.data(),
)
def test_no_other_even_assignment_moves_fewer_partitions(
    sizes: Sizes, names: str, data: st.DataObject
) -> None:
    places = [TopicPartition(topic, number) for topic in sizes for number in range(sizes[topic])]
    owners = data.draw(st.lists(st.sampled_from((*names, None)), min_size=9, max_size=9))
    before = {
        name: {at for at, owner in zip(places, owners, strict=False) if owner == name}
        for name in names
    }
    after = spread(numbers(sizes), group(names, sizes, before))
    assert moves(before, after) == fewest_moves(before, sizes, names)


def fewest_moves(before: Assignment, sizes: Sizes, names: str) -> int:
    """By trying every number of partitions that each member could have of each topic."""
    options = [
        [
            counts
            for counts in itertools.product(range(size + 1), repeat=len(names))
            if sum(counts) == size and max(counts) - min(counts) <= 1
        ]
        for size in sizes.values()
    ]
    held = [[sum(at.topic == topic for at in before[name]) for name in names] for topic in sizes]
    costs: list[int] = []
    for choice in itertools.product(*options):
        totals = [sum(counts) for counts in zip(*choice, strict=True)]
        if max(totals) - min(totals) <= 1:
            pairs = zip(itertools.chain(*held), itertools.chain(*choice), strict=True)
            costs.append(sum(max(0, had - has) for had, has in pairs))
    return min(costs)


def test_the_protocol_is_that_of_the_client_s_sticky_assignor() -> None:
    ours = new_assignor(lambda: 7)
    assert (ours.name, ours.version) == ("sticky", StickyPartitionAssignor.version)
    ours.on_assignment(ConsumerProtocolMemberAssignment(0, [("created", [0, 2])], b""))
    result = StickyPartitionAssignor.parse_member_metadata(ours.metadata(["created"]))
    assert result.partitions == [TopicPartition("created", 0), TopicPartition("created", 2)]
    assert result.generation == 7


def test_members_of_a_process_keep_their_assignments_apart() -> None:
    first, second = new_assignor(lambda: 1), new_assignor(lambda: 1)
    first.on_assignment(ConsumerProtocolMemberAssignment(0, [("created", [0])], b""))
    assert (second.member_assignment, second.generation) == (None, -1)
    assert EvenPartitionAssignor.member_assignment is None
    assert StickyPartitionAssignor.member_assignment is None


def test_the_leader_spreads_what_the_cluster_shows() -> None:
    cluster = ClusterMetadata()
    shown = [(0, number, 0, [0], [0]) for number in range(4)]
    cluster.update_metadata(MetadataResponse_v0([(0, "localhost", 1)], [(0, "created", shown)]))
    old, ours = StickyPartitionAssignor, new_assignor(lambda: 1)
    members = {
        "old": old._metadata(["created", "gone"], [TopicPartition("created", 3)]),
        "new": ours.metadata(["created", "gone"]),
        "odd": ConsumerProtocolMemberMetadata(0, ["created", "gone"], b"\x00"),
    }
    assigned = ours.assign(cluster, members)
    assert list(assigned) == ["old", "new", "odd"]
    places = [at for given in assigned.values() for at in given.partitions()]
    assert sorted(places) == [TopicPartition("created", number) for number in range(4)]
    assert TopicPartition("created", 3) in assigned["old"].partitions()


@pytest.mark.parametrize(("stalled", "other", "late"), ["abc", "cba"])
def test_a_member_that_was_away_takes_no_more_than_its_share(
    stalled: str, other: str, late: str
) -> None:
    """It comes back with partitions of a generation that is over, whatever its name is."""
    cluster, generation = ClusterMetadata(), 0
    shown = [(0, topic, [(0, n, 0, [0], [0]) for n in range(12)]) for topic in FOUR]
    cluster.update_metadata(MetadataResponse_v0([(0, "localhost", 1)], shown))
    members = {name: new_assignor(lambda: generation) for name in (stalled, other, late)}

    def rebalance(names: str) -> Assignment:
        nonlocal generation
        generation += 1
        joined = {name: members[name].metadata(FOUR) for name in sorted(names)}
        assigned = members[other].assign(cluster, joined)
        for name in names:
            members[name].on_assignment(assigned[name])
        return {name: set(assigned[name].partitions()) for name in names}

    rebalance(stalled + other)
    rebalance(other)
    before = rebalance(other + late)
    after = rebalance(stalled + other + late)
    assert moves(before, after) == 16
    check_even(after, FOUR)
