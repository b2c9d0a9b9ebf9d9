"""Compares the topics of a cluster with what the service and a recovery rely on.

The service works with a topic that keeps its records for a few days only, and nobody notices until
a backup is restored and the records since then are gone. Therefore the settings are compared while
they can still be corrected. The brokers answer with the settings in force, so that a default of the
cluster counts like a setting of the topic.
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
ALL_MISSING = (
    "no topic of the service is there with the prefix {}{}: correct the prefix; if it is right, "
    "and the user may see the topics, `bursar-bridge topics create` creates them"
)
PREFIXES_NAMED_MAX = 3
UNSEEN = "its settings cannot be compared: give the service the right to describe them ({})"
RIGHT = "DescribeConfigs on the topic"
# Records of these topics may have no key, and brokers refuse such a record for a compacted topic.
MAY_LACK_KEYS = frozenset({"rejected.v1", "operator-action.v1"})


class Concern(StrEnum):
    """What a difference endangers: the work of the service, or the recovery of a database that was
    restored. `UNKNOWN`: the settings cannot be seen.
    """

    SERVICE = "service"
    RECOVERY = "recovery"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Difference:
    """A topic that lacks or contradicts a required setting; `rule` says what is required."""

    topic: str
    rule: str
    concern: Concern

    def __str__(self) -> str:
        return f"{self.topic}: {self.rule}"


async def check_topics(
    access: KafkaAccess, prefix: str, oldest_backup_days: int = OLDEST_BACKUP_DAYS
) -> tuple[Difference, ...]:
    """Returns the topics that are missing, lack a required setting, or cannot be described.

    If none of them is there, the prefix is the difference.
    `oldest_backup_days` is the age of the oldest backup from which a recovery must be possible. A
    retention that is longer and a size limit that is higher are no differences. Raises
    KafkaUnavailable.
    """
    names = {prefix + name: name for name in (*INPUTS, *OUTPUTS)}
    async with running(new_admin(access)) as admin:
        listed = set(await admin.list_topics())
        present = names.keys() & listed
        if not present:
            return (_other_prefix(prefix, listed),)
        settings, unseen = await _settings(admin, sorted(present))
    missing = [
        Difference(topic, MISSING, Concern.SERVICE) for topic in names if topic not in present
    ]
    differences = [
        Difference(topic, rule, concern)
        for topic in settings
        for concern, rule in broken_rules(names[topic], settings[topic], oldest_backup_days)
    ]
    unknown = [
        Difference(topic, UNSEEN.format(right), Concern.UNKNOWN) for topic, right in unseen.items()
    ]
    return (*missing, *differences, *unknown)


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
    unseen: dict[str, str] = {}
    for response in await admin.describe_configs(asked):
        for code, _, _, name, entries in response.resources:
            error = for_code(code)
            if error is NoError:
                settings[name] = {entry[0]: entry[1] for entry in entries}
            elif error is not UnknownTopicOrPartitionError:
                unseen[name] = f"{RIGHT}; the broker says {error.__name__}"
    return settings, unseen


def broken_rules(
    contract: str, settings: Mapping[str, str], oldest_backup_days: int
) -> Iterable[tuple[Concern, str]]:
    """Returns the rules that the settings of a contract's topic break, each with what is in danger.

    A setting that is missing from `settings` is taken to be right.
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
