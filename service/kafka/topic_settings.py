"""Compares the settings of the topics with what the service, and the recovery of a restored
database, need.

The service itself also works if a topic keeps its records for only a few days. Nobody notices such
a short retention until an older backup is restored and the records since that backup have been
deleted. Therefore this module compares the settings before a restore is needed, while they can
still be corrected. The brokers report the settings that are in force for a topic, whether they were
set for the topic or are defaults of the cluster.
"""

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import NoError, UnknownTopicOrPartitionError, for_code

from ..settings.access import KafkaAccess
from .clients import new_admin, running
from .rights import TopicRights, topic_rights
from .topics import (
    DAY_MS,
    INPUTS,
    KEPT_AS_RECORD,
    OLDEST_BACKUP_DAYS,
    OUTPUTS,
    RECORD_DAYS,
    bytes_max,
    days_kept,
    timestamp_type,
)

MISSING = "must exist; `bursar-bridge topics create` creates it"
NO_RIGHT = "the service has no right to {} it"
ALL_MISSING = (
    "no topic of the service is there with the prefix {}{}: correct the prefix; if it is right, "
    "and the user may see the topics, `bursar-bridge topics create` creates them"
)
PREFIXES_NAMED_MAX = 3
UNREADABLE = "its settings cannot be compared: give the service the right to describe them ({})"
RIGHT = "DescribeConfigs on the topic"
# Records of these topics may have no key, and brokers refuse such a record for a compacted topic.
MAY_LACK_KEYS = frozenset({"rejected.v1", "operator-action.v1"})


class Concern(StrEnum):
    """What is in danger because of a wrong setting of a topic: the work of the service (`SERVICE`),
    or the recovery of a restored database (`RECOVERY`). `RIGHT` means that the service cannot work
    because it lacks a right to the topic. `UNKNOWN` means that the service may not see the topic's
    settings.
    """

    SERVICE = "service"
    RIGHT = "right"
    RECOVERY = "recovery"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Difference:
    """A topic that is not as the service needs it; `rule` says what is required."""

    topic: str
    rule: str
    concern: Concern

    def __str__(self) -> str:
        return f"{self.topic}: {self.rule}"


async def check_topics(
    access: KafkaAccess, prefix: str, oldest_backup_days: int = OLDEST_BACKUP_DAYS
) -> tuple[Difference, ...]:
    """Returns a Difference for each topic that does not exist, has a wrong setting, may not be used
    by the service, or whose settings the service may not see.

    If no topic of the service exists with this prefix, the only Difference returned is about the
    prefix. `oldest_backup_days` is the age in days of the oldest backup from which a recovery must
    be possible. A longer retention or a higher size limit than required is not reported. Raises
    KafkaUnavailable.
    """
    names = {prefix + name: name for name in (*INPUTS, *OUTPUTS)}
    async with running(new_admin(access)) as admin:
        listed = set(await admin.list_topics())
        present = names.keys() & listed
        if not present:
            return (_other_prefix(prefix, listed),)
        settings, unreadable = await _settings(admin, sorted(present))
        rights = await topic_rights(admin, sorted(names))
    missing = [
        Difference(topic, MISSING, Concern.SERVICE) for topic in names if rights[topic].is_missing
    ]
    forbidden = [
        Difference(topic, NO_RIGHT.format(right), Concern.RIGHT)
        for topic, contract in names.items()
        for right in missing_rights(contract, rights[topic])
    ]
    differences = [
        Difference(topic, rule, concern)
        for topic in settings
        for concern, rule in broken_rules(names[topic], settings[topic], oldest_backup_days)
    ]
    unknown = [
        Difference(topic, UNREADABLE.format(right), Concern.UNKNOWN)
        for topic, right in unreadable.items()
    ]
    return (*missing, *forbidden, *differences, *unknown)


def missing_rights(contract: str, rights: TopicRights) -> Iterator[str]:
    """Yields the operations, `read` or `write to`, for which the service lacks a right that it
    needs on a contract's topic. The service also has to read its own output topics, to notice that
    an older database was restored.
    """
    if rights.is_missing:
        return
    if not rights.may_read:
        yield "read"
    if contract in OUTPUTS and not rights.may_write:
        yield "write to"


def _other_prefix(prefix: str, listed: Collection[str]) -> Difference:
    """Says that no topic has the prefix, and which prefixes topics of the service have instead."""
    prefixes = {
        topic.removesuffix(name)
        for topic in listed
        for name in (*INPUTS, *OUTPUTS)
        if topic.endswith(name)
    }
    near = difflib.get_close_matches(prefix, prefixes, PREFIXES_NAMED_MAX, 0)
    others = f" (there are some with {', '.join(map(_quoted, near))})" if near else ""
    rule = ALL_MISSING.format(_quoted(prefix), others)
    return Difference("BURSAR_TOPIC_PREFIX", rule, Concern.SERVICE)


def _quoted(prefix: str) -> str:
    return f'"{prefix}"'


async def _settings(
    admin: AIOKafkaAdminClient, topics: Sequence[str]
) -> tuple[Mapping[str, Mapping[str, str]], Mapping[str, str]]:
    """The settings of each topic, and the topics without an answer, each with what is missing.

    A topic that is not known yet to the broker that was asked is left out.
    """
    if not topics:
        return {}, {}
    asked = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
    settings: dict[str, Mapping[str, str]] = {}
    unreadable: dict[str, str] = {}
    for response in await admin.describe_configs(asked):
        for code, _, _, name, entries in response.resources:
            error = for_code(code)
            if error is NoError:
                settings[name] = {entry[0]: entry[1] for entry in entries}
            elif error is not UnknownTopicOrPartitionError:
                unreadable[name] = f"{RIGHT}; the broker says {error.__name__}"
    return settings, unreadable


def broken_rules(
    contract: str, settings: Mapping[str, str], oldest_backup_days: int
) -> Iterable[tuple[Concern, str]]:
    """Returns the rules that the settings of a contract's topic break, each with the Concern that
    says what is in danger.

    A setting that `settings` does not have is taken to be right.
    """
    yield from _rules_of_recovery(contract, settings, oldest_backup_days)
    yield from _rules_of_records(contract, settings)


def _rules_of_recovery(
    contract: str, settings: Mapping[str, str], oldest_backup_days: int
) -> Iterator[tuple[Concern, str]]:
    """A recovery reads again whatever a topic has had since the backup, so nothing may be gone."""
    if "compact" in settings.get("cleanup.policy", "delete"):
        concern = Concern.SERVICE if contract in MAY_LACK_KEYS else Concern.RECOVERY
        yield concern, "cleanup.policy must be delete"
    retention_ms = int(settings.get("retention.ms", "-1"))
    days = days_kept(contract, oldest_backup_days)
    if 0 <= retention_ms < days * DAY_MS:
        rule = f"retention.ms must be at least {days * DAY_MS} ({days} days{_why(contract, days)})"
        yield Concern.RECOVERY, f"{rule}, or -1"
    if int(settings.get("retention.bytes", "-1")) >= 0:
        rule = "retention.bytes must be -1: a limit by size removes records before their time"
        yield Concern.RECOVERY, rule


def _why(contract: str, days: int) -> str:
    if contract in KEPT_AS_RECORD and days == RECORD_DAYS:
        return ""
    return ", BURSAR_OLDEST_BACKUP_DAYS"


def _rules_of_records(contract: str, settings: Mapping[str, str]) -> Iterator[tuple[Concern, str]]:
    """The sizes and times of records; those of input topics are a matter of their senders."""
    is_output = contract in OUTPUTS
    least = bytes_max(contract)
    if is_output and int(settings.get("max.message.bytes", least)) < least:
        yield Concern.SERVICE, f"max.message.bytes must be at least {least}"
    expected = timestamp_type(contract)
    if settings.get("message.timestamp.type", expected) != expected:
        concern = Concern.SERVICE if is_output else Concern.RECOVERY
        yield concern, f"message.timestamp.type must be {expected}"
