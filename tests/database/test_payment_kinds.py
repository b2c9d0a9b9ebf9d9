"""The kinds of payments that the database and its statements name are those of the code."""

from __future__ import annotations

import re

from service.core.words import PaymentKind
from tests.support.pages import ROOT
from tests.support.write_path import WritePath

SQL = ROOT / "service" / "database" / "sql"
OF_SETTLEMENTS = {kind.value for kind in PaymentKind if kind.settlement is not None}
OF_FILES = {PaymentKind.PAYMENT.value, PaymentKind.REVERSAL.value}  # what an import publishes

CONSTRAINTS = """
SELECT pg_get_constraintdef(oid) FROM pg_constraint
 WHERE conrelid = 'payment'::regclass AND contype = 'c'
"""
VIEWS = "SELECT definition FROM pg_views WHERE schemaname = 'public'"


def lists_of_kinds(texts: list[str]) -> list[set[str]]:
    """What `kind` is compared with, wherever it is compared with several payment kinds."""
    lists = re.findall(r"\bkind (?:= ANY \(\(?ARRAY\[|IN \()([^])]*)", " ".join(texts))
    kinds = [set(re.findall(r"'(\w+)'", words)) for words in lists]
    return [words for words in kinds if words <= set(PaymentKind) and len(words) > 1]


async def test_the_table_takes_every_kind_of_payment(path: WritePath) -> None:
    constraints = [row[0] for row in await path.pool.fetch(CONSTRAINTS)]
    assert lists_of_kinds(constraints) == [set(PaymentKind)]


async def test_views_sum_up_every_kind_that_settles(path: WritePath) -> None:
    views = [row[0] for row in await path.pool.fetch(VIEWS)]
    lists = lists_of_kinds(views)
    assert lists
    assert [kinds for kinds in lists if kinds != OF_SETTLEMENTS] == []


def test_statements_sum_up_every_kind_that_settles() -> None:
    lists = {
        f"{file.name}: {', '.join(sorted(kinds))}": kinds
        for file in sorted(SQL.glob("*.sql"))
        for kinds in lists_of_kinds([file.read_text("utf-8")])
    }
    assert len(lists) > 1
    assert [
        place for place, kinds in lists.items() if kinds not in (OF_SETTLEMENTS, OF_FILES)
    ] == []
