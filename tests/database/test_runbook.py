"""The output that the runbook shows is what the command prints."""

from __future__ import annotations

from tests.support.commands import MakeCommands
from tests.support.installation import institution, profile
from tests.support.pages import DOCS, code_lines
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
