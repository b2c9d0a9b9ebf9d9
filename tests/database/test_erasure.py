"""What is known of a patron in words can be erased, whichever release has kept it."""

from __future__ import annotations

from typing import Any

import pytest

from service.apply.operator_actions import Justification
from service.operations.erasure import IS_NOT_KNOWN, OWES, erase
from tests.support.commands import Commands
from tests.support.deciding import check_published
from tests.support.exports import patron
from tests.support.guards import Unguarded
from tests.support.importing import PROFILE, UNIVERSITY
from tests.support.inputs import ABSENT
from tests.support.write_path import (
    OUTPUTS,
    WritePath,
    change,
    fine,
    outbox_of,
    payment,
    profiles_of,
    response,
    tables_of,
)

SECRET = "their mother Ada paid"
CANCELLED = {"kind": "cancelled", "amount": ABSENT, "currency": ABSENT}
DECISION = Justification("desk", "asked by letter")
# As a release before this one writes: into the ledger itself.
OLDER_RELEASE = """
INSERT INTO ledger_transaction SELECT (jsonb_populate_record(kept, jsonb_build_object(
    'sequence', kept.sequence + 100, 'comment', $1::text, 'cause', jsonb_build_object(
        'source', 'ERP', 'payment_id', 'old', 'comment', $1::text, 'reason', $1::text
    )
))).*
FROM ledger_transaction AS kept WHERE patron_id = $2 ORDER BY sequence DESC LIMIT 1
"""


@pytest.fixture
async def path(path: WritePath) -> WritePath:
    """Two patrons, with the same words about both."""
    for name in ("ADA", "BOB"):
        await path.take(
            fine(fine_id=f"{name}-1", patron=patron(name), comment=SECRET, amount="95.50"),
            fine(fine_id=f"{name}-2", patron=patron(name), comment=SECRET, amount="5.00"),
            change(
                change_id=name,
                fine_id=f"{name}-1",
                kind="paid",
                amount="0.50",
                reason=SECRET,
                comment=SECRET,
            ),
        )
    profiles = profiles_of(PROFILE)
    await path.exports(profiles).run_profile(profiles.profiles[0])
    lines = {
        str(row["fine_id"]): str(row["line"])
        for row in await path.rows("SELECT fine_id, line FROM fine")
    }
    refused = [
        {"bursar_transaction_id": lines[f"{name}-2"], "reason": SECRET} for name in ("ADA", "BOB")
    ]
    await path.take(
        response(profile="SIS", batch_number=1, outcome="partial", refused_lines=refused),
        *(
            payment(payment_id=name, fine_id=f"{name}-1", amount="95.00", comment=SECRET)
            for name in ("ADA", "BOB")
        ),
        *(change(change_id=f"{name}-end", fine_id=f"{name}-2", **CANCELLED) for name in ("BOB",)),
    )
    for name in ("ADA", "BOB"):
        await path.pool.execute(OLDER_RELEASE, SECRET, name)
    return path


async def secrets_of(path: WritePath, name: str) -> set[str]:
    """The tables that have the words in a row that names the patron, or their fines."""
    tables = await tables_of(path.pool)
    tables.pop("export_batch")  # sealed, and with a retention of its own
    lines = {row["line"] for row in tables["fine"] if name in str(row["fine_id"])}
    result = set()
    for table, rows in tables.items():
        for row in rows:
            text = str(row)
            is_theirs = name in text or row.get("bursar_transaction_id") in lines - {None}
            if is_theirs and (SECRET in text or table == "patron"):
                result.add(table)
    return result


TEXTS = {"export_line", "ledger_transaction", "report_line", "report_transaction"}
TEXTS |= {"transaction_text"}
ALL = {"fine", "patron", "report_fine", *TEXTS}


async def test_new_texts_are_beside_the_ledger_and_events_have_them(path: WritePath) -> None:
    rows = await path.rows(
        "SELECT kind, texts.comment, cause_comment, cause_reason"
        " FROM transaction_text AS texts JOIN ledger_transaction"
        " USING (institution_id, patron_id, currency, sequence) WHERE patron_id = 'ADA'"
        " ORDER BY kind"
    )
    none = {"comment": None, "cause_comment": None, "cause_reason": None}
    assert rows == [
        {**none, "kind": "desk_payment", "comment": SECRET, "cause_reason": SECRET},
        {**none, "kind": "export_rejected", "comment": SECRET},
        {**none, "kind": "payment", "cause_comment": SECRET},
    ]
    in_ledger = "SELECT count(*) FROM ledger_transaction WHERE ledger_transaction::text LIKE $1"
    assert await path.value(in_ledger, f"%{SECRET}%") == 2, "those of the older release"
    sent = await outbox_of(path.pool, "balance-changed.v1")
    events: list[dict[str, Any]] = [event.data for event in sent]
    result = {str(event["transaction"]["kind"]): event for event in events}
    assert result["payment"]["payment"]["comment"] == SECRET
    assert result["payment"]["transaction"]["comment"] == "Bursar"
    assert result["desk_payment"]["library"]["reason"] == SECRET
    assert result["desk_payment"]["transaction"]["comment"] == SECRET
    assert result["export_rejected"]["transaction"]["comment"] == SECRET
    shown = await path.rows("SELECT comment FROM report_transaction WHERE kind = 'desk_payment'")
    assert [row["comment"] for row in shown] == [SECRET] * 2


async def test_an_erasure_reaches_every_text_of_one_patron_and_none_of_another(
    path: WritePath,
) -> None:
    writer = Unguarded(path.pool)
    numbers = (
        "SELECT patron_id, sequence, kind, amount, active, transferred, occurred_at,"
        " cause ->> 'payment_id' AS payment_id FROM ledger_transaction ORDER BY 1, 2"
    )
    before = await path.rows(numbers)
    assert await secrets_of(path, "ADA") == await secrets_of(path, "BOB") == ALL

    result = await erase(writer, OUTPUTS, (UNIVERSITY, "ADA"), DECISION)
    assert (result.done, result.outcome) == (False, OWES), "a refused fine is open again"
    assert await secrets_of(path, "ADA") == ALL
    texts = await erase(writer, OUTPUTS, (UNIVERSITY, "ADA"), DECISION, only_texts=True)
    assert texts.done, texts.outcome
    assert await secrets_of(path, "ADA") == {"fine", "patron", "report_fine"}
    await path.take(change(change_id="end", fine_id="ADA-2", **CANCELLED))
    whole = await erase(writer, OUTPUTS, (UNIVERSITY, "ADA"), DECISION)
    assert whole.done, whole.outcome

    assert await secrets_of(path, "ADA") == set()
    assert await secrets_of(path, "BOB") == ALL
    assert before == [row for row in await path.rows(numbers) if row in before]
    actions = await path.rows("SELECT action, reason, operator, subject FROM operator_action")
    assert [row["reason"] for row in actions] == [DECISION.reason] * 2
    events = await check_published(path)
    assert [event["details"] for event in events] == [{"only_texts": True}, {"only_texts": False}]
    again = await erase(writer, OUTPUTS, (UNIVERSITY, "ADA"), DECISION)
    assert (
        again.outcome == "erased: texts of 0 transactions and lines, words of 0 fines, the patron"
    )
    nobody = await erase(writer, OUTPUTS, (UNIVERSITY, "EVE"), DECISION)
    assert (nobody.done, nobody.outcome) == (False, IS_NOT_KNOWN)


async def test_a_repeat_after_an_erasure_is_a_repeat(path: WritePath) -> None:
    await erase(Unguarded(path.pool), OUTPUTS, (UNIVERSITY, "BOB"), DECISION)
    report = await path.take(
        fine(fine_id="BOB-1", patron=patron("BOB"), comment=SECRET, amount="95.50"),
        payment(payment_id="BOB", fine_id="BOB-1", amount="95.00", comment=SECRET),
    )
    assert report.outcomes == {"repeat": 2}
    assert "ledger_transaction" not in await secrets_of(path, "BOB")


async def test_the_command_asks_and_says_what_it_has_done(
    path: WritePath, database_url: str, bootstrap_servers: str
) -> None:
    commands = Commands(database_url, bootstrap_servers)
    words = ("erase", "--institution", UNIVERSITY, "--reason", "asked by letter", "--patron")
    assert (await commands.call(*words, "BOB", answer="n\n")).exit_code == 1
    assert "patron" in await secrets_of(path, "BOB")
    assert (await commands.call(*words, "ADA", "--yes")).exit_code == 1
    (done,) = await commands.lines(*words, "BOB", "--yes")
    assert (done["patron_id"], done["done"]) == ("BOB", True)
    assert await secrets_of(path, "BOB") == set()
