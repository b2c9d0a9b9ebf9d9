"""`bursar-bridge audit` as an operator calls it: totals, differences, what to do, exit codes."""

from __future__ import annotations

import json

import pytest

from service.export.profiles.profile import NO_PROFILES
from service.operations.recovery import EndRecovery
from tests.support.commands import Commands
from tests.support.raising import begin_recovery
from tests.support.write_path import PREFIX, WritePath, fine


@pytest.fixture
async def published(path: WritePath, commands: Commands) -> WritePath:
    """A ledger with three fines, whose events wait for the topics of the command."""
    await path.take(*(fine(fine_id=f"F-{number}") for number in range(3)), fine(amount="no"))
    await sent(path, commands)
    return path


async def sent(path: WritePath, commands: Commands) -> None:
    """What waits for the topics of the write path waits for those of the command."""
    await path.pool.execute(
        "UPDATE outbox SET topic = $1 || substr(topic, length($2) + 1) WHERE topic LIKE $2 || '%'",
        commands.topic_prefix,
        PREFIX,
    )


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


async def recovered(path: WritePath, commands: Commands, epoch: int, raised_to: int) -> None:
    """A recovery from its beginning to its end, which publishes the account's last event again."""
    await begin_recovery(path.pool, epoch, raised_to)
    assert await findings(commands) == []
    assert await EndRecovery(path.applier, NO_PROFILES, f"{PREFIX}export-batch.v1").run_once()
    await sent(path, commands)


async def findings(commands: Commands) -> list[tuple[str, str | None]]:
    ended = await commands.call("audit", "--json")
    rows = map(json.loads, ended.stdout.splitlines())
    differences = [(row["finding"], row["members"]) for row in rows if row["what"] == "difference"]
    assert ended.exit_code == bool(differences), ended.output
    return differences


async def test_an_event_that_recoveries_have_published_again_is_sound(
    published: WritePath, commands: Commands
) -> None:
    await recovered(published, commands, 2, 8)
    assert await findings(commands) == []
    await recovered(published, commands, 3, 12)
    assert await findings(commands) == []
    await published.take(fine(fine_id="F-9"))
    await sent(published, commands)
    totals = {total["contract"]: total for total in await commands.lines("audit")}
    assert totals["balance-changed.v1"]["recorded"] == totals["balance-changed.v1"]["waiting"] == 6
    assert await published.value("SELECT sequence FROM account") == 14


async def test_an_event_that_was_published_again_otherwise_is_found(
    published: WritePath, commands: Commands
) -> None:
    await recovered(published, commands, 2, 8)
    await recovered(published, commands, 3, 12)
    await published.pool.execute("UPDATE account SET active = active + 1")
    await published.pool.execute(
        "UPDATE recovery_account SET announced_id = 'other' WHERE epoch = 2"
    )
    await published.pool.execute("DELETE FROM outbox WHERE id = (SELECT max(id) FROM outbox)")
    members = "transaction.transaction_id, ce_id"
    assert await findings(commands) == [
        ("different", members),
        ("not_published", None),
        ("account_differs", None),
    ]
