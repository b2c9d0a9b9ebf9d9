"""The kinds of differences that an audit of the published records can find, and its result."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from .comparisons import Key


class Kind(StrEnum):
    """The kinds of differences that the audit can find; their names do not change between
    releases.
    """

    DIFFERENT = "different"
    NOT_RECORDED = "not_recorded"
    NOT_PUBLISHED = "not_published"
    UNREADABLE = "unreadable"
    ACCOUNT_DIFFERS = "account_differs"


REMEDIES: Mapping[Kind, str] = {
    Kind.DIFFERENT: "the database was changed after it had published this: find out who writes to"
    " it beside the service, and restore the row from a backup",
    Kind.NOT_RECORDED: "see `bursar-bridge restore-check show`: the database is older than the"
    " topics, or has lost this row",
    Kind.NOT_PUBLISHED: "a batch is published again by `bursar-bridge export resend`; readers of"
    " other topics lack the record and have to be told",
    Kind.UNREADABLE: "another program has written it: take its right to write to the topic away",
    Kind.ACCOUNT_DIFFERS: "the account is not as its last transaction has left it: see"
    " `bursar-bridge reconcile`",
}


class AuditFinding(NamedTuple):
    """A difference. `key` is the identity of the record, and `place` its topic, partition and
    offset, or None if it is in no topic. `members` are the names of the members of the record that
    differ; a finding never contains their values.
    """

    kind: Kind
    contract: str
    key: Key
    place: tuple[str, int, int] | None = None
    members: tuple[str, ...] = ()


@dataclass(slots=True)
class TopicTotal:
    """How many records of a contract were compared. If the topic has deleted old records, rows that
    were recorded until `searched_after` are not looked for in it; `searched_after` is None if it
    has deleted none.
    """

    contract: str
    published: int = 0
    waiting: int = 0
    recorded: int = 0
    searched_after: datetime | None = None


@dataclass(frozen=True, slots=True)
class Audited:
    """The result. `is_cut` is true if there are more findings than `findings` lists."""

    topics: tuple[TopicTotal, ...]
    findings: tuple[AuditFinding, ...]
    is_cut: bool

    @property
    def agrees(self) -> bool:
        """Whether every published record is in the database with the same content, and the
        reverse.
        """
        return not self.findings
