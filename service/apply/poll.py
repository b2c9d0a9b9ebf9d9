"""Records taken together, and what became of them; how far each partition moves. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..core.events import FailedRecord, Incoming, Rejection
from ..core.ledger import Origin
from ..database.offsets import Assignment, OffsetMove, record_digest

Place = tuple[str, int]  # topic and partition


@dataclass(frozen=True, slots=True)
class Poll:
    """Records taken together, in the order they were taken, and the partitions they are from.

    `suspects`: partitions that were held at their next record, whether records of them are among
    these or not.
    """

    records: tuple[Incoming | Rejection | FailedRecord, ...]
    assignments: tuple[Assignment, ...]
    suspects: frozenset[Place] = frozenset()

    def in_parts(self) -> tuple[tuple[Incoming | Rejection | FailedRecord, ...], ...]:
        """The next record of each suspect by itself, and then the rest."""
        first: dict[Place, Incoming | Rejection | FailedRecord] = {}
        for record in self.records:
            if (place := record.origin[:2]) in self.suspects:
                first.setdefault(place, record)
        rest = tuple(r for r in self.records if first.get(r.origin[:2]) is not r)
        return (*((record,) for record in first.values()), rest)


@dataclass(frozen=True, slots=True)
class PartitionHold:
    """Why a partition's next record has to wait, and how long its last try took.

    `is_tried`: otherwise the poll ended before its turn came, and nothing is wrong with it.
    """

    error: Exception
    milliseconds: int
    is_tried: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """What a commit did: outcomes by name, and where the partitions stand after it.

    `rejected` counts all that the commit rejected, by the record's topic and the reason. `held` are
    the partitions whose next record, and what is behind it, was not applied.
    """

    outcomes: Mapping[str, int] = field(default_factory=dict)
    assignments: tuple[Assignment, ...] = ()
    transactions: int = 0
    rejected: Mapping[tuple[str, str], int] = field(default_factory=dict)
    held: Mapping[Place, PartitionHold] = field(default_factory=dict)

    def followed_by(self, later: "Report") -> "Report":
        """Two commits, one after the other, as one report."""
        outcomes = Counter(self.outcomes) + Counter(later.outcomes)
        rejected = Counter(self.rejected) + Counter(later.rejected)
        transactions = self.transactions + later.transactions
        return Report(outcomes, later.assignments, transactions, rejected)


def moves_of(poll: Poll) -> list[OffsetMove]:
    """How far each partition of the poll moves; the digest of its last record is kept."""
    last: dict[tuple[str, int], Origin] = {}
    for record in poll.records:
        came = record.origin
        known = last.get((came.topic, came.partition))
        if known is None or known.offset < came.offset:
            last[(came.topic, came.partition)] = came
    assigned = {(part.topic, part.partition): part for part in poll.assignments}
    return [_move(assigned[place], came) for place, came in sorted(last.items())]


def _move(assignment: Assignment, came: Origin) -> OffsetMove:
    return OffsetMove(
        assignment.topic,
        assignment.partition,
        assignment.next_offset,
        came.offset + 1,
        assignment.owner_epoch,
        came.offset,
        record_digest(came.key, came.value),
    )


def moved(assignments: Iterable[Assignment], moves: Iterable[OffsetMove]) -> tuple[Assignment, ...]:
    """The assignments after the moves have committed."""
    after = {
        (move.topic, move.partition): Assignment(
            move.topic,
            move.partition,
            move.next_offset,
            move.owner_epoch,
            move.last_record_offset,
            move.last_record_digest,
        )
        for move in moves
    }
    return tuple(after.get((part.topic, part.partition), part) for part in assignments)
