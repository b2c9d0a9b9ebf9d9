"""The topics: their names, the settings that each must have (contracts.md, 0 and 6), their creation
and their check.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import multimode

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
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
KEPT_AS_RECORD = frozenset({"export-batch.v1", "export-manifest.v1", "operator-action.v1"})


# New topics, if there are no others yet.
PARTITIONS = 12
_WORDS = {
    InvalidReplicationFactorError: "--replication: must be at most the number of brokers",
    InvalidPartitionsError: "--partitions: is not a number that the broker takes",
    TopicAuthorizationFailedError: "the user has no right to create it",
    ClusterAuthorizationFailedError: "the user has no right to create it",
}
MISSING = "must exist; `bursar-bridge topics create` creates it"


class TopicNotCreated(OperatorError):
    """The broker has not created a topic; the text has its reason."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A topic that lacks or contradicts a required setting; `rule` says what is required."""

    topic: str
    rule: str


def settings_of(contract: str, replication: int) -> dict[str, str]:
    """Returns the settings of a contract's topic by the broker's names for them."""
    days = RECORD_DAYS if contract in KEPT_AS_RECORD else USUAL_DAYS
    settings = {
        "cleanup.policy": "delete",
        "retention.ms": str(days * DAY_MS),
        "max.message.bytes": str(_bytes(contract)),
        "min.insync.replicas": str(2 if replication >= 3 else 1),
        "unclean.leader.election.enable": "false",
    }
    if contract in OUTPUTS:
        # With the producer's own time a clock that is ahead makes the broker refuse its records.
        settings["message.timestamp.type"] = "LogAppendTime"
    return settings


async def create_topics(
    access: KafkaAccess,
    prefix: str,
    partitions: int | None = None,
    replication: int | None = None,
) -> tuple[str, ...]:
    """Creates the topics that are missing and returns their names; others stay as they are.

    A new topic has as many partitions and copies as most of the topics that exist, unless the
    caller says how many. Raises KafkaUnavailable, TopicNotCreated.
    """
    names = {prefix + name: name for name in (*INPUTS, *OUTPUTS)}
    async with running(new_admin(access)) as admin:
        present = sorted(names.keys() & set(await admin.list_topics()))
        described = await admin.describe_topics(present) if present else ()
        shapes = [topic["partitions"] for topic in described]
        parts = partitions or _usual(map(len, shapes)) or PARTITIONS
        copies = replication or _usual(len(shape[0]["replicas"]) for shape in shapes) or 1
        missing = [
            NewTopic(topic, parts, copies, topic_configs=settings_of(name, copies))
            for topic, name in names.items()
            if topic not in present
        ]
        if not missing:
            return ()
        return tuple(_created((await admin.create_topics(missing)).topic_errors))


async def check_topics(access: KafkaAccess, prefix: str) -> tuple[Difference, ...]:
    """Returns the topics that are missing or lack a required setting. Raises KafkaUnavailable.

    A retention that is longer and a size limit that is higher are no differences.
    """
    names = {prefix + name: name for name in (*INPUTS, *OUTPUTS)}
    async with running(new_admin(access)) as admin:
        present = names.keys() & set(await admin.list_topics())
        settings = await _settings(admin, sorted(present))
    missing = [Difference(topic, MISSING) for topic in names if topic not in present]
    differences = [
        Difference(topic, rule)
        for topic, name in names.items()
        if topic in present
        for rule in _broken_rules(name, settings.get(topic, {}))
    ]
    return (*missing, *differences)


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


async def _settings(
    admin: AIOKafkaAdminClient, topics: Sequence[str]
) -> dict[str, Mapping[str, str]]:
    """By topic; without the right to see them (DescribeConfigs) there are none."""
    if not topics:
        return {}
    asked = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
    return {
        name: {entry[0]: entry[1] for entry in entries}
        for response in await admin.describe_configs(asked)
        for code, _, _, name, entries in response.resources
        if code == 0
    }


def _broken_rules(contract: str, settings: Mapping[str, str]) -> Iterable[str]:
    if "compact" in settings.get("cleanup.policy", "delete"):
        yield "cleanup.policy must be delete"
    retention = int(settings.get("retention.ms", "-1"))
    if contract in KEPT_AS_RECORD and 0 <= retention < RECORD_DAYS * DAY_MS:
        yield f"retention.ms must be at least {RECORD_DAYS * DAY_MS} ({RECORD_DAYS} days), or -1"
    if contract not in OUTPUTS:
        return
    if int(settings.get("max.message.bytes", LARGE_BYTES)) < _bytes(contract):
        yield f"max.message.bytes must be at least {_bytes(contract)}"
    if settings.get("message.timestamp.type", "LogAppendTime") != "LogAppendTime":
        yield "message.timestamp.type must be LogAppendTime"


def _bytes(contract: str) -> int:
    return LARGE_BYTES if contract in LARGE else USUAL_BYTES
