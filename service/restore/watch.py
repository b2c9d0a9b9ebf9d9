"""Compares the topics with what a recovery relies on while the service runs.

What a restored database needs is lost while nobody looks: somebody shortens a retention, or a
topic is created again with the defaults of the cluster. The service goes on, because nothing of its
work is wrong and stopping would endanger more than it saves; but readiness, the log and a metric
say what is wrong.
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


class TopicWatch:
    """Compares at the start and every minute; keeps the latest answer of the brokers."""

    def __init__(self, pool: Pool, check: RestoreCheck, settings: KafkaSettings) -> None:
        self._pool = pool
        self._check = check
        self._settings = settings
        self._differences: tuple[Difference, ...] = ()

    async def run(self, stop: asyncio.Event) -> None:
        """Compares until `stop`. Raises OtherKafka, and what the database raises."""
        await repeat(self.run_once, stop, INTERVAL_MS)

    async def run_once(self) -> None:
        """Compares once. If the brokers do not answer, the previous answer stays.

        Raises OtherKafka if the brokers belong to another cluster than the database, as when the
        addresses of a running service lead to another cluster.
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
        """What endangers a recovery, by the latest answer; None if nothing does.

        What the service has no right to see is no problem here: `bursar-bridge check` notes it.
        """
        endangered = [each for each in self._differences if each.concern is Concern.RECOVERY]
        if not endangered:
            return None
        more = f"; {len(endangered) - 1} more: {HINT}" if len(endangered) > 1 else ""
        return f"a restored backup may not be recoverable: {endangered[0]}{more}"
