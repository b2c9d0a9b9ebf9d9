"""What the restore check can find, the errors that prevent it, and the verdict that is stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import orjson
from aiokafka import TopicPartition

from ..database.session import Connection, statements
from ..runtime.problems import OlderDatabase, Unavailable
from .home import KafkaHome

ACCEPT_MOVE = "restore-check accept-move --reason TEXT"
ADVICE = "see `bursar-bridge restore-check show` and the runbook"
ADVICE_OLDER = (
    "see `bursar-bridge restore-check show`, what `bursar-bridge recover --dry-run` would do, and "
    "the runbook"
)
SQL = statements("restore")


class OutputUnreadable(OlderDatabase):
    """The service has no right to read an output topic, which may hold records that this database
    lacks.
    """


class OtherKafka(OlderDatabase):
    """The settings lead to another Kafka cluster or topic prefix than the one to which the database
    belongs, so that nothing in its topics can tell whether the database is older.
    """


class CannotAsk(Unavailable):
    """The brokers do not answer; nothing is written until they do."""


class FindingKind(StrEnum):
    """Stable names of findings. The verdict stores them, except for `unreadable` and `other_kafka`:
    these are mended outside of the database, and nothing of them stays in it.
    """

    READ_FURTHER = "read_further"
    UNKNOWN_RECORD = "unknown_record"
    FOREIGN_RECORD = "foreign_record"
    RECORDS_GONE = "records_gone"
    COMMITS_LOST = "commits_lost"
    ACKNOWLEDGEMENTS_LOST = "acknowledgements_lost"
    RECOVERY_INTERRUPTED = "recovery_interrupted"
    UNREADABLE = "unreadable"
    OTHER_KAFKA = "other_kafka"


@dataclass(frozen=True, slots=True)
class Finding:
    """A sign that the database is older, or that another program wrote into an output topic.

    `text` names topics, offsets and numbers, never the content of a record.
    """

    kind: FindingKind
    text: str
    evidence: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def message(self) -> str:
        """The line with which a process stops because of the finding."""
        if self.kind in NO_VERDICTS:
            return f"{self.text}: {ADVICE}"
        return f"an older database was restored: {self.text}; {ADVICE_OLDER}"

    def error(self) -> OlderDatabase:
        """The exception with which a process stops because of the finding."""
        return NO_VERDICTS.get(self.kind, OlderDatabase)(self.message)


NO_VERDICTS: Mapping[FindingKind, type[OlderDatabase]] = {
    FindingKind.UNREADABLE: OutputUnreadable,
    FindingKind.OTHER_KAFKA: OtherKafka,
}


def read_further(group: str, at: TopicPartition, read_up_to: int, next_offset: int) -> Finding:
    """The group has committed the offset `read_up_to`, which is beyond this database's."""
    return Finding(
        FindingKind.READ_FURTHER,
        f"group {group} has read {_name(at)} up to offset {read_up_to}, "
        f"this database goes on at {next_offset}",
        {**at._asdict(), "read_up_to": read_up_to, "next_offset": next_offset},
    )


def unknown_record(at: TopicPartition, offset: int) -> Finding:
    """An output topic has a record of this service that this database does not know."""
    return Finding(
        FindingKind.UNKNOWN_RECORD,
        f"{_name(at)}, offset {offset} holds a record that this database did not publish",
        {**at._asdict(), "offset": offset},
    )


def foreign_record(at: TopicPartition, offset: int) -> Finding:
    """An output topic has a record of another program."""
    return Finding(
        FindingKind.FOREIGN_RECORD,
        f"{_name(at)}, offset {offset} holds a record that neither this "
        "database nor any other one of this service published",
        {**at._asdict(), "offset": offset},
    )


def records_gone(at: TopicPartition, first_unread: int, first: int) -> Finding:
    """Records from `first_unread` to before `first` were removed before they were compared."""
    return Finding(
        FindingKind.RECORDS_GONE,
        f"{_name(at)} begins at offset {first}, and this database knows "
        f"of nothing from offset {first_unread} on: what was there is gone and cannot be compared",
        {**at._asdict(), "offset": first_unread, "begins_at": first},
    )


def commits_lost(process: str, writer: str, remembered: int, counted: int | None) -> Finding:
    """The database counts fewer commits than the process remembers; `counted` is None if it has no
    count.
    """
    return Finding(
        FindingKind.COMMITS_LOST,
        f"process {process} remembers {remembered} commits of its {writer}, this database has "
        f"{'none' if counted is None else counted}: another one took its place",
        {"process": process, "writer": writer, "remembered": remembered, "counted": counted or 0},
    )


def acknowledgements_lost(at: TopicPartition, remembered: int, recorded: int | None) -> Finding:
    """The database has an older acknowledged offset than the relay remembers; `recorded` is None if
    it has none.
    """
    return Finding(
        FindingKind.ACKNOWLEDGEMENTS_LOST,
        f"{_name(at)} was acknowledged up to offset {remembered}, this "
        f"database knows {'none' if recorded is None else recorded}: another one took its place",
        {**at._asdict(), "remembered": remembered},
    )


def interrupted() -> Finding:
    """A recovery of this database was begun, and not ended."""
    return Finding(
        FindingKind.RECOVERY_INTERRUPTED,
        "its recovery was interrupted; `bursar-bridge recover` goes on with it",
    )


def unreadable(topic: str, right: str) -> Finding:
    """Returns the error for a topic for which the service lacks the right that `right` names."""
    return Finding(
        FindingKind.UNREADABLE,
        f"topic {topic} cannot be read, so nobody can tell whether this database is older than "
        f"Kafka: give the service the right to {right}",
        {"topic": topic},
    )


def other_kafka(home: KafkaHome, here: KafkaHome) -> Finding:
    """The settings lead to `here`, and the database belongs to `home`."""
    return Finding(
        FindingKind.OTHER_KAFKA,
        f"this database belongs to {home}, and the settings lead to {here}; correct "
        "KAFKA_BOOTSTRAP_SERVERS, BURSAR_TOPIC_PREFIX or DATABASE_URL, or, if the topics have "
        f"moved, `bursar-bridge {ACCEPT_MOVE}`",
        {"cluster_id": here.cluster_id, "topic_prefix": here.topic_prefix},
    )


def _name(at: TopicPartition) -> str:
    return f"topic {at.topic}, partition {at.partition}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The row that forbids all writing. `evidence` is a JSON list of places.

    `detail` is the line with which processes stop.
    """

    finding: str
    detail: str
    evidence: str
    found_by: str
    found_at: datetime


async def read_verdict(connection: Connection) -> Verdict | None:
    """The verdict of this database, if it has one."""
    row = await connection.fetchrow(SQL["verdict"])
    return None if row is None else Verdict(*row.values())


async def put_verdict(connection: Connection, findings: Sequence[Finding], process: str) -> None:
    """Stores the first of the findings as the reason to stop, and all of them as evidence."""
    first = findings[0]
    evidence = [{"finding": finding.kind.value, **finding.evidence} for finding in findings]
    arguments = (first.kind.value, first.message, orjson.dumps(evidence).decode(), process)
    await connection.execute(SQL["put_verdict"], *arguments)
