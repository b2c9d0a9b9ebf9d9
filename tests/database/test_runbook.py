"""The output that the runbook shows is what the command prints, and its statements run."""

from __future__ import annotations

import re

import asyncpg
import pytest

from tests.support.commands import MakeCommands
from tests.support.installation import institution, profile
from tests.support.pages import DOCS, code_lines, without_code
from tests.support.write_path import WritePath, fine, response

PROFILES = (
    institution()
    + profile("SIS", minimum_amount="10.00", refused_lines="hold")
    + profile("EURO", currency="EUR")
)
PROMPT = "$ bursar-bridge "


async def test_held_show_prints_the_card_of_the_runbook(
    path: WritePath, make_commands: MakeCommands
) -> None:
    lines = code_lines((DOCS / "runbook.md").read_text("utf-8"))
    (command,) = [line for line in lines if line.startswith(PROMPT + "held show")]
    begin = lines.index(command) + 1
    await path.take(fine(fine_id="40391", amount="25.00"))
    await path.export(PROFILES)
    line = await path.value("SELECT line FROM fine")
    refused = [{"bursar_transaction_id": line, "reason": "no such student"}]
    await path.take(response(profile="SIS", outcome="partial", refused_lines=refused))
    shown = await make_commands(PROFILES).call(*command.removeprefix(PROMPT).split())
    assert shown.stdout.splitlines() == lines[begin : lines.index("```", begin)]


async def test_the_row_of_a_retired_source_is_deleted(path: WritePath) -> None:
    statement = _statement("DELETE FROM source_seen")
    for source in ("OLD", "NEW"):
        await path.pool.execute(
            "INSERT INTO source_seen VALUES ('6050', 'bursar-payment.v1', $1, now())", source
        )
    for value in ("'6050'", "'bursar-payment.v1'", "'OLD'"):
        statement = statement.replace("...", value, 1)
    assert await path.pool.execute(statement) == "DELETE 1"
    assert await path.rows("SELECT source FROM source_seen") == [{"source": "NEW"}]


async def test_old_batches_are_deleted_while_their_triggers_are_disabled(path: WritePath) -> None:
    disable, enable = _statement("ALTER TABLE ... DISABLE"), _statement("ALTER TABLE ... ENABLE")
    await path.take(fine())
    await path.export(PROFILES)
    tables = ("export_line", "export_batch")
    with pytest.raises(asyncpg.PostgresError):
        await path.pool.execute("DELETE FROM export_batch")
    async with path.pool.acquire() as connection, connection.transaction():
        for table in tables:
            await connection.execute(disable.replace("...", table))
            assert await connection.execute(f"DELETE FROM {table}") == "DELETE 1"
        await connection.execute(_statement("SET CONSTRAINTS"))
        for table in tables:
            await connection.execute(enable.replace("...", table))
    await path.take(fine(fine_id="later"))
    await path.export(PROFILES)
    with pytest.raises(asyncpg.PostgresError):
        await path.pool.execute("DELETE FROM export_batch")


def _statement(begin: str) -> str:
    """The statement in a sentence of the runbook that begins so."""
    text = " ".join(without_code((DOCS / "runbook.md").read_text("utf-8")).split())
    (statement,) = re.findall(rf"`({begin}[^`]*)`", text)
    return str(statement)
