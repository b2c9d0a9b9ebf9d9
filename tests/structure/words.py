"""Words that have one meaning in identifiers, each with what to write for any other meaning."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Rule:
    """Words that identifiers may not contain, what to write instead, and where the words are right.

    `allowed` has the beginnings of paths where the words are right, each with the only meaning that
    the words have there. `terms` are identifiers that are right wherever they stand. With `whole`,
    an identifier is at fault only if it consists of one of the words; with `types`, only names of
    classes are compared, with `sql`, only names in SQL files.
    """

    words: frozenset[str]
    instead: str
    allowed: tuple[tuple[str, str], ...] = ()
    terms: frozenset[str] = frozenset()
    whole: bool = False
    types: bool = False
    sql: bool = False

    def forbids(self, name: Name) -> bool:
        """Whether the rule says that this identifier has to get another name."""
        if (self.types and not name.is_type) or (self.sql and not name.path.endswith(".sql")):
            return False
        if any(name.path.startswith(place) for place, _ in self.allowed):
            return False
        if name.identifier.strip("_").lower() in self.terms:
            return False
        words = words_of(name.identifier)
        return words[0] in self.words if self.whole and len(words) == 1 else self._within(words)

    def _within(self, words: Sequence[str]) -> bool:
        return not self.whole and not self.words.isdisjoint(words)


class Name(NamedTuple):
    """An identifier where it is defined: of a function, class, variable, file or statement."""

    path: str
    line: int
    identifier: str
    is_type: bool = False


@cache
def words_of(identifier: str) -> Sequence[str]:
    """The words of `snake_case` or `CamelCase` in lower case; never empty."""
    return [word.lower() for word in _WORD.findall(identifier)] or [identifier]


def words(text: str) -> frozenset[str]:
    """The set of words of a text, for tables that are easy to read."""
    return frozenset(text.split())


_OF_THE_ERP = "a line of an export that the bursar does not accept"
_EXPORTED = "a line of an export"

_TESTS_OF_THE_ERP = tuple(
    (f"tests/{place}", _OF_THE_ERP)
    for place in words(
        "bench/ laws/writer.py oracle/ support/bursar.py support/load.py"
        " database/test_adopted_lines.py database/test_apply.py database/test_erasure.py"
        " database/test_export.py"
        " database/test_large_refusal.py database/test_lists_at_80_columns.py"
        " database/test_reconcile.py database/test_reports.py database/test_runbook.py"
        " end_to_end/test_counts_by_hand.py unit/test_rules_"
    )
)

RULES = (
    Rule(words("lane lanes"), "`wait_queue` for parked records, `partition` for Kafka"),
    Rule(
        words("claim claims claimed claiming unclaimed"),
        "`assignment` for partitions, `selected` or `plan` for the fines of a batch",
    ),
    Rule(
        words("settle settles settled settling unsettled"),
        "`retry_parked`, `acknowledge`, or what is meant",
        allowed=(
            ("service/core/payments", "to pay what is owed"),
            ("tests/laws/", "to pay what is owed"),
            ("tests/oracle/", "to pay what is owed"),
        ),
    ),
    Rule(
        words("refuse refuses refused refusal refusals"),
        "`rejected` for records, `excluded` for a selection, `send_failed` for a broker,"
        " `undeliverable` for a batch, `raise_...` for a function that raises",
        allowed=(
            ("service/core/exports.py", _OF_THE_ERP),
            ("service/core/responses.py", _OF_THE_ERP),
            ("service/core/taking.py", _OF_THE_ERP),
            ("service/core/events.py", _OF_THE_ERP),
            ("service/core/workspace.py", _OF_THE_ERP),
            *_TESTS_OF_THE_ERP,
        ),
        terms=words(
            "refused refused_line refused_lines refused_reason refused_rule refusedline"
            " refusedlines refusedrule wirerefusedline newly_refused partly_refused"
            " connection_refused connectionrefused"
        ),
    ),
    Rule(
        words("refused"),
        "`rejected` for records, `excluded` for a selection, `send_failed` for a broker,"
        " `undeliverable` for a batch; `refused` is said of an export line alone",
        allowed=(
            ("service/core/", _OF_THE_ERP),
            ("service/messages/from_bursar.py", _OF_THE_ERP),
            ("service/export/selection.py", _OF_THE_ERP),
            ("service/database/", _OF_THE_ERP),
            ("service/apply/", _OF_THE_ERP),
            ("service/operations/", _OF_THE_ERP),
            ("service/cli/", _OF_THE_ERP),
            *_TESTS_OF_THE_ERP,
        ),
        whole=True,
    ),
    Rule(
        words("line lines"),
        "`finding` for what a check finds, `text_line`, `row` or `record` for a text;"
        " `bursar_transaction_id` for the id of an export line; `line` alone is the line itself",
        allowed=(
            ("service/core/", _EXPORTED),
            ("service/messages/", _EXPORTED),
            ("service/database/adopted_lines.py", _EXPORTED),
            ("service/database/credits_read.py", _EXPORTED),
            ("service/database/ledger_read.py", _EXPORTED),
            ("service/database/references.py", _EXPORTED),
            ("service/database/sql/", _EXPORTED),
            ("service/database/tables.py", _EXPORTED),
            ("service/apply/", _EXPORTED),
            ("service/operations/adopted_lines.py", _EXPORTED),
            ("service/operations/comparisons.py", _EXPORTED),
            ("service/operations/reconcile.py", _EXPORTED),
            ("service/operations/reports.py", _EXPORTED),
            ("service/imports/", _EXPORTED),
            ("service/export/alike.py", _EXPORTED),
            ("service/export/batch", _EXPORTED),
            ("service/export/formats/layout.py", "the key of a layout file"),
            ("service/export/build.py", _EXPORTED),
            ("service/export/evaluation.py", _EXPORTED),
            ("service/export/manifest.py", _EXPORTED),
            ("service/export/plan", _EXPORTED),
            ("service/export/preview.py", _EXPORTED),
            ("service/export/seal", _EXPORTED),
            ("service/export/store.py", _EXPORTED),
            ("service/export/verify.py", _EXPORTED),
            ("service/export/xml/", _EXPORTED),
            ("service/cli/commands/", "the option `--line`"),
            ("service/cli/batches.py", _EXPORTED),
            ("service/cli/import_", _EXPORTED),
            ("service/cli/recovered.py", _EXPORTED),
            ("examples/", _EXPORTED),
            ("demo/", _EXPORTED),
            ("tests/", "a line of an export or of a text"),
        ),
        whole=True,
    ),
    Rule(words("books overlay"), "`Workspace`, `ChangeTracker`, or `ledger`"),
    Rule(words("witness witnesses"), "`restore_check`"),
    Rule(words("anchor anchors"), "`last_record_digest`"),
    Rule(words("aside"), "`quarantined`, or where the thing is put"),
    Rule(
        words("look looks looked"),
        "`evaluate` and `Evaluation`, or `check`, `read`, `poll_interval`",
        terms=words("look_up look_ups"),
    ),
    Rule(
        words("seen unseen told said found own"), "the noun: `record`, `fine`, `result`, `manifest`"
    ),
    Rule(
        words("one"),
        "the noun: `record`, `fine`, `result`, `manifest`",
        terms=words("one_at_a_time one_way"),
    ),
    Rule(
        words(
            "undone asked doubt warned wanted due half fate unmet claimed seen told said found"
            " refused"
        ),
        "the thing: `PendingPair`, `LineOutcome`, `MissingReference`",
        types=True,
        whole=True,
    ),
    Rule(
        words("undone warned unmet fate doubt"), "the noun: `outcome`, `warning`, `unknown_codes`"
    ),
    Rule(words("wanted asked"), "the thing: `event_keys`, `lines_in_order`", sql=True),
    Rule(
        words("measure"),
        "`collect_gauges`",
        allowed=(("tests/", "to take a time or a size"),),
        whole=True,
    ),
    Rule(words("needle needles"), "`byte_patterns`"),
    Rule(words("unveil"), "`rename_into_place`"),
    Rule(words("misuse"), "`usage_error`"),
    Rule(words("away"), "`Unavailable`, `unavailable`"),
    Rule(words("retried"), "`run_in_transaction`, or the table of errors"),
)
