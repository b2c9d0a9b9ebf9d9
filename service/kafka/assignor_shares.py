"""Calculates how many partitions of each topic each member gets: even per topic, even in all, and
with few moves.

Of a topic with n partitions each of its m members gets n // m, and n % m members get an extra one.
Who gets these is a minimum cost flow from topics to members. An extra partition costs nothing where
the member has it already and one move where it does not; an uneven load costs more than all moves
together.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Sizes = Mapping[str, int]
Counts = Mapping[str, Mapping[str, int]]


def shares(sizes: Sizes, held: Counts) -> dict[str, dict[str, int]]:
    """The number of partitions of each member, by topic and member.

    `sizes` are the partitions of each topic; `held` says how many of them each subscribed member
    has now, 0 included. A topic without a member is not in the result.
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
