"""Checks while the service runs that the topics still allow a later recovery of the database.

A recovery reads topics again, and their records can be lost unnoticed: somebody shortens a
retention, or a topic is created again with the defaults of the cluster. If the topics do not allow
a recovery, the service goes on, because its own work is right and stopping it would do more harm;
but readiness, the log and a metric say what is wrong.
"""

import asyncio
import contextlib

from aiokafka.errors import KafkaError

from ..database.session import Pool
from ..kafka.clients import KafkaUnavailable
from ..kafka.topic_settings import Concern, Difference, check_topics
from ..runtime.waiting import repeat
from ..settings import KafkaSettings
from .check import RestoreCheck
from .findings import CannotAsk

INTERVAL_MS = 60_000
ANSWER_SECONDS_MAX = 30
UNANSWERED = (KafkaError, KafkaUnavailable, CannotAsk, OSError, TimeoutError)
HINT = "`bursar-bridge topics check` names all"
MEANINGS = {
    Concern.RIGHT: "a right is missing",
    Concern.RECOVERY: "a restored backup may not be recoverable",
}


class TopicWatch:
    """Checks the topics at the start and every minute, and keeps the latest answer of the
    brokers.
    """

    def __init__(self, pool: Pool, check: RestoreCheck, settings: KafkaSettings) -> None:
        self._pool = pool
        self._check = check
        self._settings = settings
        self._differences: tuple[Difference, ...] = ()

    async def run(self, stop: asyncio.Event) -> None:
        """Compares until `stop`. Raises OtherKafka, and what the database raises."""
        await repeat(self.run_once, stop, INTERVAL_MS)

    async def run_once(self) -> None:
        """Compares once. If the brokers do not answer, their previous answer still counts.

        Raises OtherKafka if the brokers belong to another cluster than the database, for example
        because the broker addresses now lead to another cluster.
        """
        settings = self._settings
        with contextlib.suppress(*UNANSWERED):
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                self._differences = await check_topics(
                    settings, settings.topic_prefix, settings.oldest_backup_days
                )
            async with self._pool.acquire() as connection:
                await self._check.require_home(connection)

    def problem(self) -> str | None:
        """Returns, by the latest answer of the brokers, which permission is missing or what
        endangers a recovery; None if nothing does.

        Settings of Kafka topics that the service has no permission to see are no problem here; the
        command `bursar-bridge check` mentions them.
        """
        for concern, meaning in MEANINGS.items():
            if endangered := [each for each in self._differences if each.concern is concern]:
                more = f"; {len(endangered) - 1} more: {HINT}" if len(endangered) > 1 else ""
                return f"{meaning}: {endangered[0]}{more}"
        return None
