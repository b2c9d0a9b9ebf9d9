"""Credits that a payment of an imported file makes wait for a person (rules.md, 5)."""

from __future__ import annotations

import pytest

from service.operations.gauges import Gauges
from service.runtime.telemetry import Metrics
from tests.support.commands import Commands, MakeCommands
from tests.support.exports import check_sealed, fine_ids, held_back, only, profiles_with, run
from tests.support.inputs import ABSENT
from tests.support.installation import institution, profile
from tests.support.write_path import Record, WritePath, fine, payment, reversal

FILE = "ab" * 32
CREDITS = {"included": True}
HELD = ("held", "list")
RELEASE = ("held", "release", "--institution", "6050", "--reason", "the file is right")


def paid_by_file(**members: object) -> Record:
    return payment(amount="100.00", import_file=FILE, **members)


async def credit_of(path: WritePath) -> str:
    return str(await path.value("SELECT credit_id FROM payment WHERE excess > 0"))


@pytest.fixture
def commands(make_commands: MakeCommands) -> Commands:
    return make_commands(institution() + profile("bursar", credits=CREDITS))


async def test_a_credit_of_an_imported_file_waits_until_a_person_releases_it(
    path: WritePath, commands: Commands
) -> None:
    profiles = profiles_with(credits=CREDITS)
    await path.take(fine())
    await run(path, profiles)
    await path.take(paid_by_file())
    credit = await credit_of(path)
    await run(path, profiles_with(credits=CREDITS, more='empty_run = "empty_batch"'))
    assert held_back((await check_sealed(path))[-1]) == {"credit_unconfirmed": 1}
    (row,) = await commands.lines(*HELD)
    assert (row["fine_id"], row["reason"]) == (credit, "credit_unconfirmed")
    assert "`held release`" in row["in_words"]
    assert await unconfirmed_now(path) == 1

    (released,) = await commands.lines(*RELEASE, "--fine", credit)
    assert released["outcome"] == "released"
    assert await unconfirmed_now(path) == 0
    assert await commands.lines(*HELD) == []
    await run(path, profiles)
    assert fine_ids((await check_sealed(path))[-1:]) == [[credit]]


async def unconfirmed_now(path: WritePath) -> float | None:
    metrics = Metrics()
    await Gauges(path.pool, metrics).run_once()
    labels = {"reason": "credit_unconfirmed"}
    return metrics.registry.get_sample_value("bursar_held_now", labels)


@pytest.mark.parametrize(
    ("options", "members"),
    [
        pytest.param({"import_credits": "export"}, {"import_file": FILE}, id="the_terms_say_so"),
        pytest.param({}, {"import_file": ABSENT}, id="an_event_without_a_file"),
    ],
)
async def test_any_other_credit_of_an_excess_is_exported(
    path: WritePath, options: dict[str, str], members: dict[str, object]
) -> None:
    more = "".join(f'{name} = "{value}"' for name, value in options.items())
    profiles = profiles_with(credits=CREDITS, more=more)
    await path.take(fine())
    await run(path, profiles)
    await path.take(payment(amount="100.00", **members))
    await run(path, profiles)
    assert fine_ids((await check_sealed(path))[-1:]) == [[await credit_of(path)]]


async def test_the_terms_of_the_fines_export_count(path: WritePath) -> None:
    """A profile that is changed afterwards does not let the credit go."""
    await path.take(fine())
    await run(path, profiles_with(credits=CREDITS))
    await path.take(paid_by_file())
    now = profiles_with(credits=CREDITS, more='import_credits = "export"')
    assert only(now).terms.import_credits == "export"
    await run(path, now)
    assert fine_ids(await check_sealed(path)) == [["F-1"]]


async def test_a_reversal_cancels_an_unconfirmed_credit(path: WritePath) -> None:
    await path.take(fine())
    await run(path, profiles_with(credits=CREDITS))
    await path.take(paid_by_file())
    await path.take(reversal("R-1", "PAY-1"))
    rows = await path.rows("SELECT active, transferred FROM account")
    assert rows == [{"active": 0, "transferred": 9550}]
    assert await unconfirmed_now(path) == 0


async def test_all_held_credits_can_be_released_at_once(
    path: WritePath, commands: Commands
) -> None:
    await path.take(fine(), fine(fine_id="F-2"))
    await run(path, profiles_with(credits=CREDITS))
    await path.take(paid_by_file(), paid_by_file(payment_id="PAY-2", fine_id="F-2"))
    assert len(await commands.lines(*HELD)) == 2
    rows = await commands.lines(
        "held", "release", "--all", "--yes", "--reason", "the file is right"
    )
    assert {row["outcome"] for row in rows} == {"released"}
    assert await commands.lines(*HELD) == []
