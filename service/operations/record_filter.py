"""What an operator says to name stored records: their identity, or their place in Kafka."""

from dataclasses import dataclass

LIMIT_MAX = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFilter:
    """Which stored records a command is about; a field that is None allows any value.

    A record is named by its identity, `institution_id`, `source` and `id`, or by its place,
    `topic`, `partition` and `offset`. At most `limit` records are returned.
    """

    institution_id: str | None = None
    source: str | None = None
    id: str | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    limit: int = LIMIT_MAX
