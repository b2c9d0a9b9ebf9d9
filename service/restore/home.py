"""The Kafka cluster and the topic prefix to which a database belongs.

The offsets that a database stores mean something only for the topics of one Kafka cluster and
prefix. If the database is used with another cluster or prefix, because of a wrong setting or as a
copy in a test environment, the restore check compares it with topics that have nothing to do with
it, and finds nothing wrong. Therefore the first start stores the cluster and the prefix in the
database, and each restore check compares them with those of the settings.
"""

from dataclasses import dataclass

from ..database.session import Connection, statements

SQL = statements("restore")


@dataclass(frozen=True, slots=True)
class KafkaHome:
    """The place of a database's topics: the id that the Kafka cluster gives itself, which stays the
    same when the addresses of its brokers change, and the prefix of the topics.
    """

    cluster_id: str
    topic_prefix: str

    def __str__(self) -> str:
        prefix = f"the topic prefix {self.topic_prefix}" if self.topic_prefix else "no topic prefix"
        return f"the cluster {self.cluster_id} and {prefix}"


async def read_home(connection: Connection) -> KafkaHome | None:
    """Returns the Kafka cluster and topic prefix to which the database belongs; None if none were
    stored, because only older releases have started on it.
    """
    row = await connection.fetchrow(SQL["kafka_home"])
    return None if row is None else KafkaHome(*row.values())


async def remember_home(connection: Connection, home: KafkaHome) -> None:
    """Stores the Kafka cluster and topic prefix to which the database belongs, unless some are
    stored already.
    """
    await connection.execute(SQL["remember_kafka_home"], home.cluster_id, home.topic_prefix)


async def move_home(connection: Connection, home: KafkaHome) -> None:
    """Replaces the stored Kafka cluster and topic prefix of the database, inside the caller's
    transaction.
    """
    await connection.execute(SQL["move_kafka_home"], home.cluster_id, home.topic_prefix)
