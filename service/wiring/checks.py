"""The readiness checks of the service, by name, and how the log tells of each."""

from ..consumer.loop import Intake
from ..database.migrate import pending_on
from ..database.session import Pool
from ..relay.loop import Relay
from ..runtime.readiness import Readiness, Reporting
from ..runtime.telemetry import Event

DATABASE, KAFKA = "database", "kafka"

# A rebalance or a start takes some seconds. While the database or the brokers are silent, what
# fails for that is not told a second time.
OF_DATABASE = Reporting(patience_seconds=2)
ON_DATABASE = Reporting(patience_seconds=2, needs=(DATABASE,))
OF_GROUP = Reporting(patience_seconds=10, needs=(DATABASE, KAFKA))
OF_TOPICS = Reporting(
    needs=(DATABASE, KAFKA),
    each_problem=True,
    failed=Event.TOPICS_NOT_READ,
    passed=Event.TOPICS_READ,
)


def register_database(readiness: Readiness, pool: Pool) -> None:
    """`database`: it answers. `migrations`: it has every revision that this release needs."""

    async def reachable() -> str | None:
        async with pool.acquire() as connection:
            await connection.fetchval("SELECT 1")
        return None

    async def migrated() -> str | None:
        async with pool.acquire() as connection:
            missing = await pending_on(connection)
        return f"revisions {', '.join(missing)} are missing" if missing else None

    readiness.register(DATABASE, reachable, OF_DATABASE)
    readiness.register("migrations", migrated, ON_DATABASE)


def register_parts(readiness: Readiness, intake: Intake, relay: Relay) -> None:
    """`kafka`: a broker answers. `intake`: partitions are assigned, and their offsets loaded.
    `topics`: records come from every partition of every input topic. `relay`: it can read the
    outbox; an instance on standby is fine.
    """

    async def kafka_answers() -> str | None:
        return intake.contact.problem()

    async def group_reads() -> str | None:
        return intake.group_problem()

    async def topics_are_read() -> str | None:
        return intake.topics_problem()

    async def relay_works() -> str | None:
        await relay.status()
        return None

    readiness.register(KAFKA, kafka_answers)
    readiness.register("intake", group_reads, OF_GROUP)
    readiness.register("topics", topics_are_read, OF_TOPICS)
    readiness.register("relay", relay_works, ON_DATABASE)
