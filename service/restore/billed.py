"""What left the house, from the topic that keeps it, beside what this database knows of it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

import orjson

from ..database.session import Connection
from ..kafka.clients import KafkaAccess
from .known import Record, unknown
from .topics import Range, open_topics


@dataclass(frozen=True, slots=True)
class Billed:
    """A manifest as it was published; `is_known`: this database sealed that very batch."""

    manifest: Mapping[str, object]
    is_known: bool


async def billed(
    connection: Connection, access: KafkaAccess, group_id: str, topic: str
) -> AsyncIterator[Billed]:
    """Every manifest that the topic `topic` has, partition by partition. Raises CannotAsk."""
    async with open_topics(access, group_id) as topics:
        partitions = (await topics.partitions([topic])).get(topic, [])
        firsts, ends = await topics.firsts(partitions), await topics.ends(partitions)
        ranges = [Range(at, firsts[at], ends[at]) for at in partitions]
        async with aclosing(topics.read(ranges)) as pages:
            async for page in pages:
                places = {(r.partition, r.offset) for r in await unknown(connection, page)}
                for record in page:
                    manifest = _manifest(record)
                    if manifest is not None:
                        yield Billed(manifest, (record.partition, record.offset) not in places)


def _manifest(record: Record) -> Mapping[str, object] | None:
    """None for a record that is no JSON object: it is none of ours."""
    try:
        value = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
