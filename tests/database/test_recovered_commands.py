"""The commands about published lines that no fine has taken since a restore (rules.md, 5b)."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import generate_latest

from service.database.session import statements
from service.operations.gauges import Gauges
from service.runtime.telemetry import Metrics
from tests.support.adopting import adopt, end_recovery
from tests.support.commands import Commands
from tests.support.exports import only, patron, profiles_with
from tests.support.installation import institution, profile
from tests.support.write_path import Record, WritePath, change, fine, payment

PROFILE = institution() + profile(fine_types=["OVERDUEFINE"])
PROFILES = profiles_with(fine_types=["OVERDUEFINE"])
LOST = """
INSERT INTO recovery_decision
    (epoch, ce_id, action_id, action, subject, details, outcome, recorded_at)
VALUES (2, $1, $2, $3, '{}', '{}', 'done', now())
"""
WHY = ("--reason", "asked the bursar", "--operator", "ann")


def created(number: int) -> Record:
    return fine(fine_id=f"F-{number}", patron=patron(number), loan_id=f"L-{number}")


@pytest.fixture(autouse=True)
async def _recovering(path: WritePath, restored: WritePath) -> None:
    """Three fines were exported; one has not come back, and of one a payment is lost."""
    await path.take(created(1), created(2), created(3), change(fine_id="F-2"))
    await path.exports(PROFILES).run_profile(only(PROFILES))
    await adopt(path, restored)
    await restored.take(created(1), created(2), payment(fine_id="F-2"))


@pytest.fixture
def commands(restored_url: str, bootstrap_servers: str, tmp_path: Path) -> Commands:
    file = tmp_path / "profiles.toml"
    file.write_text(PROFILE)
    return Commands(restored_url, bootstrap_servers, BURSAR_PROFILES_FILE=str(file))


async def line_of(path: WritePath, fine_id: str) -> str:
    query = "SELECT bursar_transaction_id FROM adopted_line WHERE fine_id = $1"
    return str(await path.value(query, fine_id))


async def digest_of_batch(path: WritePath) -> bytes:
    """The digest of the lines of the adopted batch, as the audit compares it."""
    query = statements("audit")["batches_of_keys"]
    row = await path.pool.fetchrow(query, [0], ["6050"], [only(PROFILES).code], [1])
    assert row is not None
    digest: bytes = row["lines_sha256"]
    return digest


async def test_lines_that_no_fine_has_taken_are_listed_with_the_reason(commands: Commands) -> None:
    listed = await commands.lines("recovered", "lines")
    assert [(row["fine_id"], row["amount"], row["in_words"]) for row in listed] == [
        ("F-2", "85.50", "95.50 remains of its fine, and the line has another amount"),
        ("F-3", "95.50", "its fine is not known: its fine-created was not read again so far"),
    ]
    assert len(await commands.lines("recovered", "lines", "--fine", "F-3")) == 1
    ended = await commands.call("recovered", "lines")
    assert "the recovery goes on" in ended.stderr


async def test_a_pause_that_was_lost_is_made_again_before_the_service_reads(
    restored: WritePath, commands: Commands
) -> None:
    for number, action in enumerate(("export_pause", "restore_check_recover"), start=1):
        await restored.pool.execute(LOST, f"ce-{number}", number, action)
    (lost,) = await commands.lines("recovered", "decisions")
    assert lost["action"] == "export_pause"
    ended = await commands.call("export", "pause", "--all", *WHY)
    assert ended.exit_code == 0, ended.output
    assert await restored.value("SELECT count(*) FROM export_pause") == 1


async def test_a_person_gives_a_line_to_its_fine(restored: WritePath, commands: Commands) -> None:
    named = ("--institution", "6050", "--line", await line_of(restored, "F-2"))
    (result,) = await commands.lines("recovered", "take", *named, *WHY)
    assert (result["done"], result["outcome"], result["fine_id"]) == (True, "taken", "F-2")
    fines = await restored.rows("SELECT amount, outstanding FROM fine WHERE fine_id = 'F-2'")
    assert fines == [{"amount": 85_50, "outstanding": 0}]
    payments = await restored.rows("SELECT state, applied, excess FROM payment")
    assert payments == [{"state": "applied", "applied": 85_50, "excess": 10_00}]
    actions = await restored.rows("SELECT action, operator, reason FROM operator_action")
    assert actions == [
        {"action": "adopted_line_take", "operator": "ann", "reason": "asked the bursar"}
    ]
    ended = await commands.call("recovered", "take", *named, *WHY)
    assert ended.exit_code == 1
    assert "no adopted line" in ended.stderr


async def test_a_person_drops_a_line_and_the_fine_is_exported_again(
    restored: WritePath, commands: Commands
) -> None:
    await end_recovery(restored)
    before = await digest_of_batch(restored)
    dropped = await commands.lines("recovered", "drop", "--all", "--yes", *WHY)
    assert [row["outcome"] for row in dropped] == ["dropped", "dropped"]
    assert await digest_of_batch(restored) == before
    await restored.exports(PROFILES).run_profile(only(PROFILES))
    lines = await restored.rows(
        "SELECT fine_id, batch_number, state FROM export_line ORDER BY fine_id, batch_number"
    )
    assert [tuple(row.values()) for row in lines] == [
        ("F-1", 1, "live"),
        ("F-2", 1, "refused"),
        ("F-2", 2, "live"),
        ("F-3", 1, "refused"),
    ]


async def test_a_line_of_a_fine_that_is_not_known_is_not_given(
    restored: WritePath, commands: Commands
) -> None:
    named = ("--institution", "6050", "--line", await line_of(restored, "F-3"))
    (result,) = await commands.lines("recovered", "take", *named, *WHY, code=1)
    assert result["outcome"].startswith("its fine is not known")
    assert await restored.value("SELECT count(*) FROM operator_action") == 0


async def test_check_the_gauges_and_export_run_tell_of_the_recovery(
    restored: WritePath, commands: Commands
) -> None:
    output = (await commands.call("check")).stdout
    assert "goes on: exports are off" in output
    assert "2 published lines of no fine so far, 1 open fine not exported for that" in output
    ended = await commands.call("export", "run", "--all")
    assert ended.exit_code == 1
    assert "exports are off" in ended.stderr
    metrics = Metrics()
    await Gauges(restored.pool, metrics).run_once()
    shown_by_metrics = generate_latest(metrics.registry)
    assert b"bursar_recovery_open 1.0\n" in shown_by_metrics
    assert b"bursar_adopted_lines 2.0\n" in shown_by_metrics
    assert b'bursar_held_now{reason="adopted_line"} 1.0\n' in shown_by_metrics
    (shown,) = await commands.lines("held", "show", "--institution", "6050", "--fine", "F-2")
    assert shown["held_back"] == [{"profile": "bursar", "reason": "adopted_line"}]
    (result,) = await commands.lines(
        "held", "release", "--institution", "6050", "--fine", "F-2", *WHY, code=1
    )
    assert "recovered take" in result["outcome"]


@pytest.mark.parametrize(
    "options", [(), ("--line", "1"), ("--all", "--line", "1", "--institution", "6050")]
)
async def test_one_line_or_all_are_named(commands: Commands, options: tuple[str, ...]) -> None:
    ended = await commands.call("recovered", "drop", *options, *WHY)
    assert ended.exit_code == 2
    assert "name one of" in ended.stderr
