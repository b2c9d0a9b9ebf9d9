"""What the restore check can find, and why it cannot always be asked. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ..kafka.stops import OlderDatabase
from ..runtime.problems import Unavailable

Place = tuple[str, int]  # topic and partition
ADVICE = "see `bursar-bridge restore-check show` and the runbook"


class OutputUnreadable(OlderDatabase):
    """An output topic may hold what this database does not know, and nobody can look."""


class CannotAsk(Unavailable):
    """The brokers cannot answer for now; as long as they do not, nothing is written."""


class Sort(StrEnum):
    """Stable names of findings, as the verdict keeps them."""

    READ_FURTHER = "read_further"
    UNKNOWN_RECORD = "unknown_record"
    FOREIGN_RECORD = "foreign_record"
    RECORDS_GONE = "records_gone"
    COMMITS_LOST = "commits_lost"
    ACKNOWLEDGEMENTS_LOST = "acknowledgements_lost"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Finding:
    """One piece of evidence. `text` names places and numbers, never what a record says."""

    sort: Sort
    text: str
    evidence: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """What a process that stops because of it says."""
        if self.sort is Sort.UNREADABLE:
            return f"{self.text}: {ADVICE}"
        return f"an older database was restored: {self.text}; {ADVICE}"

    def problem(self) -> OlderDatabase:
        unreadable = self.sort is Sort.UNREADABLE
        return OutputUnreadable(self.line) if unreadable else OlderDatabase(self.line)


def read_further(group: str, at: Place, read_up_to: int, next_offset: int) -> Finding:
    topic, partition = at
    return Finding(
        Sort.READ_FURTHER,
        f"group {group} has read topic {topic}, partition {partition} up to offset {read_up_to}, "
        f"this database goes on at {next_offset}",
        {
            "topic": topic,
            "partition": partition,
            "read_up_to": read_up_to,
            "next_offset": next_offset,
        },
    )


def unknown_record(at: Place, offset: int) -> Finding:
    topic, partition = at
    return Finding(
        Sort.UNKNOWN_RECORD,
        f"topic {topic}, partition {partition}, offset {offset} holds a record that this database "
        "did not publish",
        {"topic": topic, "partition": partition, "offset": offset},
    )


def foreign_record(at: Place, offset: int) -> Finding:
    topic, partition = at
    return Finding(
        Sort.FOREIGN_RECORD,
        f"topic {topic}, partition {partition}, offset {offset} holds a record that neither this "
        "database nor any other one of this service published",
        {"topic": topic, "partition": partition, "offset": offset},
    )


def records_gone(at: Place, first_unread: int, first: int) -> Finding:
    topic, partition = at
    return Finding(
        Sort.RECORDS_GONE,
        f"topic {topic}, partition {partition} begins at offset {first}, and this database knows "
        f"of nothing from offset {first_unread} on: what was there is gone and cannot be compared",
        {"topic": topic, "partition": partition, "offset": first_unread, "begins_at": first},
    )


def commits_lost(process: str, writer: str, remembered: int, counted: int | None) -> Finding:
    count = "none" if counted is None else str(counted)
    return Finding(
        Sort.COMMITS_LOST,
        f"process {process} remembers {remembered} commits of its {writer}, this database has "
        f"{count}: another one took its place",
        {"process": process, "writer": writer, "remembered": remembered, "counted": counted or 0},
    )


def acknowledgements_lost(at: Place, remembered: int, recorded: int | None) -> Finding:
    topic, partition = at
    known = "none" if recorded is None else str(recorded)
    return Finding(
        Sort.ACKNOWLEDGEMENTS_LOST,
        f"topic {topic}, partition {partition} was acknowledged up to offset {remembered}, this "
        f"database knows {known}: another one took its place",
        {"topic": topic, "partition": partition, "remembered": remembered},
    )


def unreadable(topic: str, right: str) -> Finding:
    return Finding(
        Sort.UNREADABLE,
        f"topic {topic} cannot be read, so nobody can tell whether this database is older than "
        f"Kafka: give the service the right to {right}",
        {"topic": topic},
    )
