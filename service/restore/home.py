"""The Kafka cluster and the topic prefix to which a database belongs.

The offsets and numbers in a database are those of certain topics. If the database is used with
another cluster or prefix, by a slip in a setting or as a copy in another environment, the restore
check compares it with topics that know nothing of it, and finds nothing. Therefore the first start
stores where the topics are, and each check compares that with what the settings lead to.
"""

from dataclasses import dataclass

from ..database.session import Connection, statements

SQL = statements("restore")


@dataclass(frozen=True, slots=True)
class KafkaHome:
    """Where the topics of a database are: the id that the cluster gives itself, which does not
    change with the addresses of its brokers, and the prefix of the topics.
    """

    cluster_id: str
    topic_prefix: str

    def __str__(self) -> str:
        prefix = f"the topic prefix {self.topic_prefix}" if self.topic_prefix else "no topic prefix"
        return f"the cluster {self.cluster_id} and {prefix}"


async def read_home(connection: Connection) -> KafkaHome | None:
    """Returns the home of the database; None if no release that stores it has started on it."""
    row = await connection.fetchrow(SQL["kafka_home"])
    return None if row is None else KafkaHome(*row.values())


async def remember_home(connection: Connection, home: KafkaHome) -> None:
    """Stores the home of a database that has none yet; one that is stored stays."""
    await connection.execute(SQL["remember_kafka_home"], home.cluster_id, home.topic_prefix)


async def move_home(connection: Connection, home: KafkaHome) -> None:
    """Replaces the home of the database, inside the caller's transaction."""
    await connection.execute(SQL["move_kafka_home"], home.cluster_id, home.topic_prefix)
