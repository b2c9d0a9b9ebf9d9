"""What the readiness checks and the gauges show of a member of the consumer group.

A process is no member before it has joined, and between two attempts: then `member` is None.
`missing_right` names a right in Kafka without which nothing can be read; None if none is missing.
"""

from collections import Counter
from collections.abc import Iterable

from ..runtime.telemetry import Metrics
from .contact import Contact
from .membership import Member


def group_problem(member: Member | None, missing_right: str | None) -> str | None:
    """Returns why this process gets no records from the consumer group; else None."""
    reason = "not in the consumer group" if member is None else member.problem()
    return f"{reason}: {missing_right}" if reason and missing_right else reason


def topics_problem(
    member: Member | None, missing_right: str | None, contact: Contact
) -> str | None:
    """Returns which input topics are not read completely, and why; None if all are, or if this
    process is no member.
    """
    if member is None:
        return None
    if missing_right is not None:
        return f"nothing is read: {missing_right}"
    if not member.group.has_joined:
        return contact.unread_problem()
    return member.coverage.problem() or contact.unread_problem()


def show_partitions(metrics: Metrics, topics: Iterable[str], member: Member | None) -> None:
    """Sets the gauges of the assigned partitions, also for topics of which none is assigned."""
    assigned = member.group.assigned if member is not None else frozenset()
    counts = Counter(at.topic for at in assigned)
    metrics.partitions.set(len(assigned))
    metrics.partitions_held.set(0 if member is None else len(member.suspects))
    for topic in topics:
        metrics.topic_partitions.labels(topic).set(counts[topic])
