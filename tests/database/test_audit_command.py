"""`bursar-bridge audit` as an operator calls it: totals, differences, what to do, exit codes."""

from __future__ import annotations

import pytest

from tests.support.commands import Commands
from tests.support.write_path import WritePath, fine


@pytest.fixture
async def published(path: WritePath, commands: Commands) -> WritePath:
    """A ledger with three fines, whose events wait for the topics of the command."""
    await path.take(*(fine(fine_id=f"F-{number}") for number in range(3)), fine(amount="no"))
    await path.pool.execute(
        "UPDATE outbox SET topic = $1 || substr(topic, length('library.') + 1)",
        commands.topic_prefix,
    )
    return path


@pytest.mark.usefixtures("published")
async def test_a_sound_ledger_is_counted_and_ends_well(commands: Commands) -> None:
    totals = {total["contract"]: total for total in await commands.lines("audit")}
    assert len(totals) == 6
    assert (totals["balance-changed.v1"]["waiting"], totals["rejected.v1"]["waiting"]) == (3, 1)
    ended = await commands.call("audit")
    assert ended.exit_code == 0
    assert "no differences" in ended.stdout


async def test_a_difference_names_record_and_members_but_no_value(
    published: WritePath, commands: Commands
) -> None:
    await published.pool.execute("UPDATE account SET active = active + 1")
    await published.pool.execute("ALTER TABLE ledger_transaction DISABLE TRIGGER USER")
    await published.pool.execute("UPDATE ledger_transaction SET amount = 777 WHERE sequence = 2")
    rows = await commands.lines("audit", code=1)
    differences = {row["finding"]: row for row in rows if row["what"] == "difference"}
    assert differences.keys() == {"different", "account_differs"}
    assert differences["different"]["members"] == "transaction.amount"
    assert differences["different"]["record"].endswith("/USD/2")
    ended = await commands.call("audit")
    assert "find out who writes to it beside the service" in ended.stderr
    assert "777" not in ended.output


async def test_a_list_that_is_cut_says_so(published: WritePath, commands: Commands) -> None:
    await published.pool.execute("DELETE FROM outbox")
    ended = await commands.call("audit", "--limit", "2")
    assert ended.exit_code == 1
    assert "--limit 2" in ended.stderr
    assert "export resend" in ended.stderr
