"""The output that the runbook shows is what the command prints, and its statements run."""

from __future__ import annotations

import re

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


def _statement(begin: str) -> str:
    """The statement in a sentence of the runbook that begins so."""
    text = " ".join(without_code((DOCS / "runbook.md").read_text("utf-8")).split())
    (statement,) = re.findall(rf"`({begin}[^`]*)`", text)
    return str(statement)
