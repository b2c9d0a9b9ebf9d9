"""What stands in tables and topics after a load, against the independent model.

Both are read through `Installation`: a load may have gone through real Kafka or a simulated one.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from tests.oracle.model import Model
from tests.oracle.tables import AccountId
from tests.support.process import Site
from tests.support.programs import ROOT
from tests.support.topics import Read

Row = dict[str, Any]
INVARIANTS = 7


class Installation(Protocol):
    """The tables and topics of an installation."""

    async def rows(self, query: str, *arguments: object) -> list[dict[str, object]]:
        """The rows of a query."""

    def records(self, contract: str) -> Sequence[Read]:
        """All records of a contract's topic."""


async def audit(site: Site, model: Model) -> None:
    """Every count, balance and number; the first difference fails.

    The auditor and the command judge without the model, which knows in what order all was decided.
    """
    check_verdicts(await auditor_verdicts(site))
    totals = [json.loads(text) for text in (await site.command("audit", "--json")).splitlines()]
    assert {total["what"] for total in totals} == {"topic"}
    await compare_with_model(site, model)


async def compare_with_model(site: Installation, model: Model) -> None:
    """Every count, balance and number; the first difference fails."""
    await compare_ledger(site, model)
    await _transactions_are_numbered_without_gaps(site)
    await _topics_are_the_tables(site)


async def compare_ledger(site: Installation, model: Model) -> None:
    """The same without numbers and events, which a lost database may have used and published."""
    await _accounts_are_the_models(site, model)
    await _waiting_and_rejected_are_the_models(site, model)
    await _lines_are_the_models(site, model)
    await _nothing_is_left_over(site)


async def auditor_verdicts(site: Site) -> list[Row]:
    """Runs `python -m tests.auditor`, which has a verdict for each invariant."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.auditor", "--json"),
        cwd=ROOT,
        env=site.environment,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await program.communicate()
    return [json.loads(text) for text in out.splitlines()]


def check_verdicts(verdicts: Sequence[Row]) -> None:
    assert [verdict for verdict in verdicts if not verdict["holds"]] == []
    assert len(verdicts) == INVARIANTS


async def _accounts_are_the_models(site: Installation, model: Model) -> None:
    rows = await _rows(
        site,
        "SELECT a.*, (SELECT count(*) FROM ledger_transaction AS t WHERE (t.institution_id,"
        " t.patron_id, t.currency) = (a.institution_id, a.patron_id, a.currency)) AS n"
        " FROM account AS a",
    )
    stored = {_account(row): (row["active"], row["transferred"], row["n"]) for row in rows}
    transactions = Counter(account for account, *_ in model.posted)
    expected = {name: (*pair, transactions[name]) for name, pair in model.balances().items()}
    differing = [
        name for name in stored.keys() | expected.keys() if stored.get(name) != expected.get(name)
    ]
    assert differing == [], [(n, stored.get(n), expected.get(n)) for n in differing[:5]]


async def _transactions_are_numbered_without_gaps(site: Installation) -> None:
    wrong = await _rows(
        site,
        "SELECT a.institution_id, a.patron_id, a.currency FROM account AS a"
        " LEFT JOIN ledger_transaction AS t USING (institution_id, patron_id, currency)"
        " GROUP BY a.institution_id, a.patron_id, a.currency"
        " HAVING count(t.sequence) <> max(a.sequence) OR min(t.sequence) <> 1"
        " OR max(t.sequence) <> max(a.sequence)"
        " OR sum(t.active_change) <> max(a.active)"
        " OR sum(t.transferred_change) <> max(a.transferred)",
    )
    assert wrong == []


async def _waiting_and_rejected_are_the_models(site: Installation, model: Model) -> None:
    rejected = await _rows(site, "SELECT reason, count(*) AS n FROM rejected GROUP BY 1")
    assert {row["reason"]: row["n"] for row in rejected} == Counter(model.rejected)
    parked = await _rows(
        site,
        "SELECT CASE WHEN wait = 'not_exported' AND fine_id IS NULL THEN 'unallocated' ELSE wait"
        " END AS wait, count(*) AS n FROM parked GROUP BY 1",
    )
    assert {row["wait"]: row["n"] for row in parked} == model.parked()
    assert await _rows(site, "SELECT * FROM parked_error") == []


async def _lines_are_the_models(site: Installation, model: Model) -> None:
    """One live line per exported fine, and its loan closed once."""
    rows = await _rows(
        site,
        "SELECT institution_id, fine_id, bursar_transaction_id FROM export_line"
        " WHERE state = 'live'",
    )
    live = {(row["institution_id"], row["fine_id"]): row["bursar_transaction_id"] for row in rows}
    assert len(live) == len(rows)
    assert live == model.live_lines()
    closed = site.records("loan-closed.v1")
    loans = {(json.loads(record.value or b"")["loan_id"]) for record in closed}
    assert loans == {loan_id for _, loan_id in model.loans}


async def _nothing_is_left_over(site: Installation) -> None:
    assert await _rows(site, "SELECT * FROM outbox") == []
    assert await _rows(site, "SELECT * FROM outbox_set_aside") == []


async def _topics_are_the_tables(site: Installation) -> None:
    """Topics, after repeats are dropped: every transaction once, the last one is the account."""
    streams: dict[AccountId, dict[int, Row]] = {}
    for event in _read(site, "balance-changed.v1"):
        first = streams.setdefault(_account(event), {}).setdefault(event["sequence"], event)
        assert first == event, "a repeat says the same"
    accounts = {_account(row): row for row in await _rows(site, "SELECT * FROM account")}
    assert streams.keys() == accounts.keys()
    for name, events in streams.items():
        numbers = sorted(events)
        assert numbers == list(range(1, accounts[name]["sequence"] + 1))
        for number in numbers[1:]:
            assert events[number]["previous"] == events[number - 1]["balance"]
        last = events[numbers[-1]]["balance"]
        row = accounts[name]
        assert (_minor(last["active"]), _minor(last["transferred"])) == (
            row["active"],
            row["transferred"],
        )
        assert _minor(last["total"]) == row["active"] + row["transferred"]
    await _rejected_topic_is_the_table(site)


async def _rejected_topic_is_the_table(site: Installation) -> None:
    published: Counter[tuple[str, int, int, str]] = Counter()
    for record in site.records("rejected.v1"):
        headers = {name: value.decode() for name, value in record.headers}
        partition, offset = int(headers["bursar-partition"]), int(headers["bursar-offset"])
        published[(headers["bursar-topic"], partition, offset, headers["bursar-reason"])] += 1
    rows = await _rows(site, "SELECT topic, partition, record_offset, reason FROM rejected")
    assert published.keys() == {tuple(row.values()) for row in rows}


def _read(site: Installation, contract: str) -> Iterable[Row]:
    for record in site.records(contract):
        yield json.loads(record.value or b"")


async def _rows(site: Installation, query: str) -> list[Row]:
    return await site.rows(query)


def _account(row: Row) -> AccountId:
    return (row["institution_id"], row["patron_id"], row["currency"])


def _minor(amount: str) -> int:
    """Exactly the currency's decimals are there, so the digits are the minor units."""
    return int(amount.replace(".", ""))
