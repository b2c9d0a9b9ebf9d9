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


class OtherKafka(OlderDatabase):
    """The settings lead to another Kafka cluster or topic prefix than the one to which the database
    belongs, so that nothing in its topics can tell whether the database is older.
    """


class CannotAsk(Unavailable):
    """The Kafka brokers do not answer the restore check; the service writes nothing until
    they do.
    """


class TopicUnreadable(CannotAsk):
    """The service has no right to read a topic, which may hold records that this database lacks;
    nothing is written until it has the right.
    """


class FindingKind(StrEnum):
    """The kinds of findings, whose names do not change between releases. A finding is stored in the
    database as a verdict, except for `unreadable` and `other_kafka`: their causes are corrected
    outside of the database, and the database does not remember them.
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
        """The error message with which a process stops because of the finding."""
        if self.kind in NO_VERDICTS:
            return f"{self.text}: {ADVICE}"
        return f"an older database was restored: {self.text}; {ADVICE_OLDER}"

    def error(self) -> Exception:
        """The exception with which a process stops because of the finding."""
        return NO_VERDICTS.get(self.kind, OlderDatabase)(self.message)


NO_VERDICTS: Mapping[FindingKind, type[Exception]] = {
    FindingKind.UNREADABLE: TopicUnreadable,
    FindingKind.OTHER_KAFKA: OtherKafka,
}


def read_further(group: str, at: TopicPartition, read_up_to: int, next_offset: int) -> Finding:
    """Finding: the consumer group has committed the offset `read_up_to` of an input partition, and
    this database has only read up to `next_offset`.
    """
    return Finding(
        FindingKind.READ_FURTHER,
        f"group {group} has read {_name(at)} up to offset {read_up_to}, "
        f"this database goes on at {next_offset}",
        {**at._asdict(), "read_up_to": read_up_to, "next_offset": next_offset},
    )


def unknown_record(at: TopicPartition, offset: int) -> Finding:
    """Finding: an output topic holds a record of this service that this database does not know."""
    return Finding(
        FindingKind.UNKNOWN_RECORD,
        f"{_name(at)}, offset {offset} holds a record that this database did not publish",
        {**at._asdict(), "offset": offset},
    )


def foreign_record(at: TopicPartition, offset: int) -> Finding:
    """Finding: an output topic holds a record that another program has written."""
    return Finding(
        FindingKind.FOREIGN_RECORD,
        f"{_name(at)}, offset {offset} holds a record that neither this "
        "database nor any other one of this service published",
        {**at._asdict(), "offset": offset},
    )


def records_gone(at: TopicPartition, first_unread: int, first: int) -> Finding:
    """Finding: Kafka has deleted the records of an output partition from the offset `first_unread`
    up to, and not including, `first`, before they were compared.
    """
    return Finding(
        FindingKind.RECORDS_GONE,
        f"{_name(at)} begins at offset {first}, and this database knows "
        f"of nothing from offset {first_unread} on: what was there is gone and cannot be compared",
        {**at._asdict(), "offset": first_unread, "begins_at": first},
    )


def commits_lost(process: str, writer: str, remembered: int, counted: int | None) -> Finding:
    """Finding: the database has counted fewer commits of a process than the process remembers;
    `counted` is None if the database has no count.
    """
    return Finding(
        FindingKind.COMMITS_LOST,
        f"process {process} remembers {remembered} commits of its {writer}, this database has "
        f"{'none' if counted is None else counted}: another one took its place",
        {"process": process, "writer": writer, "remembered": remembered, "counted": counted or 0},
    )


def acknowledgements_lost(at: TopicPartition, remembered: int, recorded: int | None) -> Finding:
    """Finding: the database has stored a lower acknowledged offset than the relay remembers;
    `recorded` is None if it has stored none.
    """
    return Finding(
        FindingKind.ACKNOWLEDGEMENTS_LOST,
        f"{_name(at)} was acknowledged up to offset {remembered}, this "
        f"database knows {'none' if recorded is None else recorded}: another one took its place",
        {**at._asdict(), "remembered": remembered},
    )


def interrupted() -> Finding:
    """Finding: a recovery of this database was begun, and has not ended."""
    return Finding(
        FindingKind.RECOVERY_INTERRUPTED,
        "its recovery was interrupted; `bursar-bridge recover` goes on with it",
    )


def unreadable(topic: str, right: str) -> TopicUnreadable:
    """Returns the error for a topic for which the service lacks the right that `right` names."""
    return TopicUnreadable(
        f"topic {topic} cannot be read, so nobody can tell whether this database is older than "
        f"Kafka: give the service the right to {right}"
    )


def other_kafka(home: KafkaHome, here: KafkaHome) -> Finding:
    """Finding: the settings lead to the Kafka cluster and topic prefix `here`, and the database
    belongs to `home`.
    """
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
    """The row of the database that forbids all writing after the restore check has found something.
    `evidence` is a JSON list that says what was found and where, such as topic, partition and
    offset.

    `detail` is the error message with which every process of the service then stops.
    """

    finding: str
    detail: str
    evidence: str
    found_by: str
    found_at: datetime


async def read_verdict(connection: Connection) -> Verdict | None:
    """Returns the stored verdict of this database; None if it has none."""
    row = await connection.fetchrow(SQL["verdict"])
    return None if row is None else Verdict(*row.values())


async def put_verdict(connection: Connection, findings: Sequence[Finding], process: str) -> None:
    """Stores a verdict in the database: the first of the findings is the reason to stop, and all of
    them are the evidence.
    """
    first = findings[0]
    evidence = [{"finding": finding.kind.value, **finding.evidence} for finding in findings]
    arguments = (first.kind.value, first.message, orjson.dumps(evidence).decode(), process)
    await connection.execute(SQL["put_verdict"], *arguments)
