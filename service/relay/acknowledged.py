"""What the relay knows to be acknowledged: a database that knows less is not the one it sends from.

Kept in memory from the taking of the lease on, and compared before each page is sent. Without it,
a backup restored under a running relay would be sent from, and the next acknowledgement would lift
the stored offsets over the evidence.
"""

from ..database.session import Connection, Writes, statements
from ..restore.check import Answer
from ..restore.findings import Finding, acknowledgements_lost
from ..runtime.telemetry import Event, get_log
from .window import Lane, Progress

SQL = statements("outbox")

log = get_log(__name__)


class Acknowledged:
    """The last acknowledged offset of each output partition, under one lease."""

    def __init__(self, writer: Writes) -> None:
        self._writer = writer
        self._offsets: dict[Lane, int] = {}

    async def begin(self, answer: Answer) -> None:
        """From what the restore check saw: everything up to the ends is known here.

        So it counts as acknowledged. A copy that came late would else have to be explained again
        and again, and could not be any more once retention has removed it. Of a topic that was made
        anew nothing counts that was acknowledged before.
        """
        self._offsets = {(at.topic, at.partition): n for at, n in answer.acknowledged.items()}
        for at, end in answer.behind.items():
            log.error(
                Event.OUTPUT_TOPIC_BEHIND, topic=at.topic, partition=at.partition, end_offset=end
            )
        compared = {(at.topic, at.partition): end - 1 for at, end in answer.moved.items()}
        if compared:
            async with self._writer.transaction() as connection:
                for (topic, partition), offset in sorted(compared.items()):
                    await connection.execute(SQL["set_acknowledged"], topic, partition, offset)
            self._offsets |= compared

    def forget(self) -> None:
        """Another relay sends now."""
        self._offsets = {}

    async def missing(self, connection: Connection) -> list[Finding]:
        """What this database does not know of it."""
        rows = await connection.fetch(SQL["acknowledged"])
        recorded: dict[Lane, int] = {(row[0], row[1]): row[2] for row in rows}
        return [
            acknowledgements_lost(lane, offset, recorded.get(lane))
            for lane, offset in self._offsets.items()
            if recorded.get(lane, -1) < offset
        ]

    def gaps(self, progress: Progress) -> int:
        """Partitions in which ours do not follow right behind what was acknowledged.

        What lies between is evidence that must not be passed over, and so is what lies in a topic
        that was made anew: the restore check has to explain it.
        """
        known = self._offsets
        return sum(first != known.get(lane, -1) + 1 for lane, first in progress.firsts.items())

    async def write(self, connection: Connection, progress: Progress) -> None:
        """Into the transaction that deletes what was sent."""
        for topic, partition in self._made_anew(progress):
            await connection.execute(SQL["set_acknowledged"], topic, partition, -1)
        lanes = sorted(progress.offsets)
        await connection.execute(
            SQL["acknowledge"],
            [topic for topic, _ in lanes],
            [partition for _, partition in lanes],
            [progress.offsets[lane] for lane in lanes],
        )

    def note(self, progress: Progress) -> None:
        """That transaction has committed."""
        self._offsets |= progress.offsets

    def _made_anew(self, progress: Progress) -> list[Lane]:
        """Partitions that gave an offset out again: the topic is another one than before."""
        return sorted(
            lane for lane, first in progress.firsts.items() if first <= self._offsets.get(lane, -1)
        )
