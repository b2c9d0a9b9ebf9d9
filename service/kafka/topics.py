"""The Kafka topics of the service: their names, the settings that each must have (contracts.md, 0
and 6), and their creation. The module `topic_settings.py` compares existing topics with these
settings.
"""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from statistics import multimode

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidPartitionsError,
    InvalidReplicationFactorError,
    NoError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)

from ..runtime.problems import OperatorError
from ..settings.access import KafkaAccess
from .clients import new_admin, running

INPUTS = ("fine-created.v1", "fine-changed.v1", "bursar-payment.v1", "export-response.v1")
OUTPUTS = (
    "balance-changed.v1",
    "export-batch.v1",
    "export-manifest.v1",
    "loan-closed.v1",
    "rejected.v1",
    "operator-action.v1",
)

MIB = 1024 * 1024
DAY_MS = 24 * 60 * 60 * 1_000
LARGE = frozenset({"export-batch.v1", "export-manifest.v1", "rejected.v1"})
LARGE_BYTES = 16 * MIB
USUAL_BYTES = 1_048_588  # the broker's own default
# The record of what left the house and of what people decided. It is kept longer than the oldest
# backup that would be restored.
RECORD_DAYS = 400
USUAL_DAYS = 60
OLDEST_BACKUP_DAYS = 30
KEPT_AS_RECORD = frozenset({"export-batch.v1", "export-manifest.v1", "operator-action.v1"})

# New topics, if there are no others yet.
PARTITIONS = 12
# A broker learns of a new topic from the controller.
SHOWN_AFTER_MS = 100
SHOWN_QUESTIONS_MAX = 100
_WORDS = {
    InvalidReplicationFactorError: "--replication: must be at most the number of brokers",
    InvalidPartitionsError: "--partitions: is not a number that the broker takes",
    TopicAuthorizationFailedError: "the user has no right to create it",
    ClusterAuthorizationFailedError: "the user has no right to create it",
}


class TopicNotCreated(OperatorError):
    """Raised if the broker refused to create a topic; the text has the broker's reason."""


def days_kept(contract: str, oldest_backup_days: int) -> int:
    """Returns the least number of days for which a contract's topic must keep its records.

    A database that was restored from a backup is brought up to date from the records that the
    topics have received since then. `oldest_backup_days` is the age in days of the oldest backup
    for which that must be possible.
    """
    return max(RECORD_DAYS if contract in KEPT_AS_RECORD else 0, oldest_backup_days)


def settings_of(
    contract: str, replication: int, oldest_backup_days: int = OLDEST_BACKUP_DAYS
) -> dict[str, str]:
    """Returns the settings with which a contract's topic is created, by the broker's names of the
    settings.

    The result has every setting that matters to the service, because the defaults of the brokers
    differ. Records are kept for at least twice the age of the oldest backup, because some time
    passes until a backup is restored and the records since then are read again.
    """
    usual_days = RECORD_DAYS if contract in KEPT_AS_RECORD else USUAL_DAYS
    days = max(usual_days, 2 * oldest_backup_days)
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(days * DAY_MS),
        "retention.bytes": "-1",
        "max.message.bytes": str(bytes_max(contract)),
        "min.insync.replicas": str(2 if replication >= 3 else 1),
        "unclean.leader.election.enable": "false",
        "message.timestamp.type": timestamp_type(contract),
    }


def timestamp_type(contract: str) -> str:
    """Returns whether the records of a contract's topic have the broker's time (`LogAppendTime`) or
    the sender's (`CreateTime`).

    Output topics have the broker's time, because a broker refuses records whose time is ahead of
    its own clock. Input topics have the sender's time, because it serves as the time of the event
    if a record has no `ce_time`.
    """
    return "LogAppendTime" if contract in OUTPUTS else "CreateTime"


def bytes_max(contract: str) -> int:
    """Returns the size limit in bytes for a record of a contract's topic."""
    return LARGE_BYTES if contract in LARGE else USUAL_BYTES


async def create_topics(
    access: KafkaAccess,
    prefix: str,
    partitions: int | None = None,
    replication: int | None = None,
    oldest_backup_days: int = OLDEST_BACKUP_DAYS,
) -> tuple[str, ...]:
    """Creates the topics that are missing and returns their names; existing topics are not changed.

    Waits until the broker lists the new topics, so that a client that asks for them afterwards
    finds them. A new topic gets as many partitions and copies as most existing topics of the
    service have, unless the caller gives the numbers. A new topic gets the settings that
    `settings_of` returns. Raises KafkaUnavailable, TopicNotCreated.
    """
    names = {prefix + name: name for name in (*INPUTS, *OUTPUTS)}
    async with running(new_admin(access)) as admin:
        present = sorted(names.keys() & set(await admin.list_topics()))
        described = await admin.describe_topics(present) if present else ()
        shapes = [topic["partitions"] for topic in described]
        parts = partitions or _usual(map(len, shapes)) or PARTITIONS
        copies = replication or _usual(len(shape[0]["replicas"]) for shape in shapes) or 1
        missing = [
            NewTopic(
                topic, parts, copies, topic_configs=settings_of(name, copies, oldest_backup_days)
            )
            for topic, name in names.items()
            if topic not in present
        ]
        if not missing:
            return ()
        created = tuple(_created((await admin.create_topics(missing)).topic_errors))
        await _until_shown(admin, created)
        return created


async def _until_shown(admin: AIOKafkaAdminClient, created: Collection[str]) -> None:
    """Waits until the broker shows the topics: it says a little earlier that they are created.

    That it never shows them is no error: with several brokers another one may be asked next.
    """
    for _ in range(SHOWN_QUESTIONS_MAX):
        if set(created) <= set(await admin.list_topics()):
            return
        await asyncio.sleep(SHOWN_AFTER_MS / 1_000)


def _usual(numbers: Iterable[int]) -> int | None:
    """The number that occurs most often, of several the largest; None if there is none."""
    return max(multimode(numbers), default=None)


def _created(errors: Sequence[tuple[str, int, str | None]]) -> Iterable[str]:
    """The topics that were created; one that another program has created meanwhile is no error."""
    for topic, code, *text in errors:
        error = for_code(code)
        if error is TopicAlreadyExistsError:
            continue
        if error is not NoError:
            why = _WORDS.get(error) or f"{error.__name__}: {text[0] if text else ''}"
            raise TopicNotCreated(f"{topic}: was not created: {why}")
        yield topic
