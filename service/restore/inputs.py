"""The input topics during the recovery of a restored database: who reads them, how far they were
read before, and at which offsets the restored database goes on.
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
    """The state of all input partitions at a recovery.

    `next_offsets` are the offsets at which this database goes on, `marks` those up to which it has
    to read again, `committed` those that the consumer group has committed in Kafka, and `new` are
    the partitions of which the database has no offset. `obstacles` name partitions of which Kafka
    has deleted records that have to be read again.
    """

    next_offsets: Offsets
    marks: Offsets
    committed: Offsets
    new: frozenset[TopicPartition]
    obstacles: tuple[str, ...]


def input_state(stored: Offsets, committed: Offsets, firsts: Offsets, ends: Offsets) -> InputState:
    """Compares the offsets of the database, of the consumer group and of the topics. Pure.

    A partition has to be read again as far as the consumer group had read it or, if Kafka has no
    offset of the group any more, up to its end. If the database has never read a topic, a recovery
    reads that topic from its first record; BURSAR_START_AT counts only at an ordinary start. If the
    database has read a topic before, a partition that was added to the topic is read from offset 0.
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
    """Reads the state of the input partitions. Raises the errors of the Kafka client and of the
    database.
    """
    rows = await connection.fetch(SQL["input_offsets"], sorted({at.topic for at in partitions}))
    stored = {TopicPartition(row[0], row[1]): row[2] for row in rows}
    committed = await topics.committed(partitions)
    firsts, ends = await topics.firsts(partitions), await topics.ends(partitions)
    return input_state(stored, committed, firsts, ends)


async def put_inputs(connection: Connection, inputs: InputState) -> None:
    """Stores how far each input partition has to be read again, and where partitions that are new
    to the database begin.
    """
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
    """Sets the offsets of the consumer group in Kafka back to those of this database, in partitions
    that the group had read further.

    If the offsets of the group were left as they are, the restore check of the next start would
    find an older database again. The marks, up to which the partitions have to be read again, are
    taken from the group's old offsets, so they have to be stored in the database before. The broker
    refuses to change the offsets while the group has members. Raises KafkaError.
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
    """Returns the hosts of the consumer group's members, as the broker knows them. Raises
    CannotAsk.
    """
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
