"""The input topics at a recovery: who reads them, how far they were read, and where this database
goes on.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError, for_code

from ..database.session import Connection, statements
from ..kafka.clients import new_admin, running
from ..settings.access import KafkaAccess
from .findings import CannotAsk
from .topics import Topics

SQL = statements("restore")
OFFSETS = statements("offsets")
RECOVERY = statements("recovery")

Offsets = Mapping[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class InputState:
    """The partitions of the input topics.

    `next_offsets` is where this database goes on, `marks` how far it has to read again, `committed`
    what the group has committed in Kafka, and `new` are the partitions that the database has no
    offset of. `obstacles` say which records are gone.
    """

    next_offsets: Offsets
    marks: Offsets
    committed: Offsets
    new: frozenset[TopicPartition]
    obstacles: tuple[str, ...]


def input_state(stored: Offsets, committed: Offsets, firsts: Offsets, ends: Offsets) -> InputState:
    """Compares the offsets of the database, of the group and of the topics. Pure.

    A partition has to be read as far as the group had read it; if the group has forgotten, up to
    its end. A topic that the database has never read is read from its first record, whatever the
    setting for new topics says. A new partition of a topic that it has read begins at 0.
    """
    known = {at.topic for at in stored}
    next_offsets = {
        at: stored.get(at, 0 if at.topic in known else first) for at, first in firsts.items()
    }
    marks = {
        at: max(next_offset, committed.get(at, ends[at]))
        for at, next_offset in next_offsets.items()
    }
    obstacles = [
        f"topic {at.topic}, partition {at.partition} begins at offset {firsts[at]}, and this "
        f"database goes on at {next_offset}: records were deleted before they could be read again"
        for at, next_offset in sorted(next_offsets.items())
        if firsts[at] > next_offset
    ]
    new = frozenset(next_offsets.keys() - stored.keys())
    return InputState(next_offsets, marks, committed, new, tuple(obstacles))


async def read_inputs(
    connection: Connection, topics: Topics, partitions: Collection[TopicPartition]
) -> InputState:
    """Reads the state of the input partitions. Raises what the client and the database raise."""
    rows = await connection.fetch(SQL["input_offsets"], sorted({at.topic for at in partitions}))
    stored = {TopicPartition(row[0], row[1]): row[2] for row in rows}
    committed = await topics.committed(partitions)
    firsts, ends = await topics.firsts(partitions), await topics.ends(partitions)
    return input_state(stored, committed, firsts, ends)


async def put_inputs(connection: Connection, inputs: InputState) -> None:
    """Stores the marks and the offsets of partitions that are new to the database."""
    new = sorted(inputs.new)
    await connection.execute(
        OFFSETS["introduce"],
        [at.topic for at in new],
        [at.partition for at in new],
        [inputs.next_offsets[at] for at in new],
    )
    marks = [(*at, mark) for at, mark in sorted(inputs.marks.items())]
    await connection.executemany(RECOVERY["put_mark"], marks)


async def set_group_back(reader: AIOKafkaConsumer, inputs: InputState) -> None:
    """Commits for the group where this database goes on, in partitions that the group had read
    further.

    Otherwise the next start would take the database for an older one again. The marks have to be
    stored before. The broker refuses the commit while the group has members. Raises KafkaError.
    """
    ahead = {
        at: inputs.next_offsets[at]
        for at, committed in inputs.committed.items()
        if committed > inputs.next_offsets[at]
    }
    if ahead:
        reader.assign(sorted(ahead))
        await reader.commit(ahead)


async def members_of(access: KafkaAccess, group_id: str) -> Sequence[str]:
    """Returns the hosts of the group's members, as the broker knows them. Raises CannotAsk."""
    try:
        async with running(new_admin(access)) as admin:
            (answer,) = await admin.describe_consumer_groups([group_id])
    except (KafkaError, OSError, TimeoutError) as problem:
        raise CannotAsk(
            f"Kafka does not tell whether an instance runs: {problem or type(problem).__name__}"
        ) from problem
    ((error, *_, members),) = [group[:6] for group in answer.groups]
    if for_code(error) is GroupAuthorizationFailedError:
        raise CannotAsk(f"group {group_id}: give the service the right to describe it")
    return sorted(str(member[2]) for member in members)
