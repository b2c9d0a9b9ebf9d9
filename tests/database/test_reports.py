"""Balances at any instant, a fine's whole story, what became of a batch: views and commands."""

import pytest

from tests.support.commands import Commands
from tests.support.reporting import PATRON, STORY, amounts, clock, export
from tests.support.write_path import WritePath, fine, outbox_of, payment, response, reversal


async def test_balances_are_printed_with_the_currencys_decimals(
    path: WritePath, commands: Commands
) -> None:
    await path.take(
        fine(),
        fine(fine_id="F-Y", currency="JPY", amount="700"),
        fine(fine_id="F-K", currency="KWD", amount="1.005"),
    )
    await export(path)
    assert amounts(await commands.lines("balance", *PATRON)) == [
        ("JPY", "0", "700", "700"),
        ("KWD", "1.005", "0.000", "1.005"),
        ("USD", "0.00", "95.50", "95.50"),
    ]
    (row,) = await commands.lines("balance", *PATRON, "--currency", "JPY")
    assert (row["sequence"], row["epoch"]) == (2, 1)
    assert "95.50" in (await commands.call("balance", *PATRON)).stdout


async def test_balances_of_the_past_as_they_were_known_and_as_they_were(
    path: WritePath, commands: Commands
) -> None:
    before = await clock(path)
    await path.take(fine())
    await export(path)
    between = await clock(path)
    await path.take(payment(amount="20.00", paid_at="2026-09-10T00:00:00Z"))

    async def then(at: str, *how: str) -> list[tuple[str, str, str, str]]:
        return amounts(await commands.lines("balance", *PATRON, "--at", at, *how))

    assert await then(before) == [("USD", "0.00", "0.00", "0.00")]
    assert await then(between) == [("USD", "0.00", "95.50", "95.50")]
    assert await then(between, "--recorded") == await then(between)
    # The payment was made before it was learnt of, and the export after both.
    assert await then("2026-09-09T00:00:00Z", "--effective") == [("USD", "95.50", "0.00", "95.50")]
    assert await then("2026-09-11T00:00:00Z", "--effective") == [
        ("USD", "95.50", "-20.00", "75.50")
    ]
    assert await then("2026-08-01T00:00:00Z", "--effective") == [("USD", "0.00", "0.00", "0.00")]
    assert await then(await clock(path)) == [("USD", "0.00", "75.50", "75.50")]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("balance", *PATRON), 1),
        (("balance", "--institution", "6050"), 2),
        (("balance", *PATRON, "--effective"), 2),
        (("balance", *PATRON, "--at", "2026-09-01"), 2),
        ((*STORY, "--fine", "F-1"), 1),
        (STORY, 2),
        ((*STORY, "--fine", "F-1", "--patron", "P-1"), 2),
        (("export", "list", "--state", "lost"), 2),
        (("export", "show", "--institution", "6050", "--profile", "SIS", "--batch", "1"), 1),
    ],
)
async def test_what_is_not_there_or_has_no_meaning_ends_with_its_code(
    commands: Commands, arguments: tuple[str, ...], code: int
) -> None:
    assert (await commands.call(*arguments)).exit_code == code


async def test_the_state_of_a_batch_follows_the_broker_and_the_bursar(
    path: WritePath, commands: Commands
) -> None:
    await path.take(*(fine(fine_id=f"F-{n}") for n in range(3)))
    await export(path)

    async def state() -> str:
        (row,) = await commands.lines("export", "list", "--profile", "SIS")
        return str(row["state"])

    assert await state() == "sealed"
    assert len(await outbox_of(path.pool, "export-batch.v1")) == 1
    await path.pool.execute("DELETE FROM outbox")  # the relay does, once the broker has it
    assert await state() == "published"
    await path.take(response(profile="SIS"))
    assert await state() == "accepted"
    line = await path.value("SELECT line FROM fine WHERE fine_id = 'F-0'")
    refused = [{"bursar_transaction_id": line, "reason": "gone"}]
    await path.take(
        response(profile="SIS", response_id="2", outcome="partial", refused_lines=refused)
    )
    assert await state() == "partly_refused"
    await path.take(response(profile="SIS", response_id="3", outcome="refused", reason="file"))
    assert await state() == "refused"
    assert await commands.lines("export", "list", "--state", "sealed") == []


async def test_each_line_of_a_batch_tells_what_became_of_it(
    path: WritePath, commands: Commands
) -> None:
    await path.take(
        *(fine(fine_id=f"F-{n}", amount="10.00") for n in range(5)),
        fine(fine_id="F-L", amount="50.00", type="LOSTITEMFINE"),
    )
    await export(path)
    line = await path.value("SELECT line FROM fine WHERE fine_id = 'F-4'")
    refused = [{"bursar_transaction_id": line, "reason": "no such student"}]
    await path.take(
        payment(payment_id="1", fine_id="F-0", amount="10.00"),
        payment(payment_id="2", fine_id="F-1", amount="4.00"),
        payment(payment_id="3", fine_id="F-1", amount="1.00", kind="write_off"),
        payment(payment_id="4", fine_id="F-2", amount="3.00"),
        reversal("5", "4", currency="USD"),
        response(profile="SIS", outcome="partial", refused_lines=refused),
    )
    show = ("export", "show", "--institution", "6050", "--profile", "SIS", "--batch", "1")
    batch, *lines = await commands.lines(*show)
    assert (batch["total"], batch["fine_count"], batch["state"]) == ("100.00", 6, "partly_refused")
    assert batch["responses"] == ["SAP: R-1, partial (1 line), applied"]
    result = [
        (item["fine_id"], item["became"], item["outstanding"], item["paid"], item["written_off"])
        for item in lines
    ]
    assert result == [
        ("F-0", "settled", "0.00", "10.00", "0.00"),
        ("F-1", "partly settled", "5.00", "4.00", "1.00"),
        ("F-2", "open", "10.00", "0.00", "0.00"),
        ("F-3", "open", "10.00", "0.00", "0.00"),
        ("F-4", "refused", "0.00", "0.00", "0.00"),
        ("F-L", "closed", "0.00", "0.00", "0.00"),
    ]
    assert lines[4]["refused_reason"] == "no such student"
    # Exported anew, the old line stays refused.
    await path.pool.execute("UPDATE fine SET refused_reason = NULL")
    await export(path)
    await path.take(payment(payment_id="6", fine_id="F-4", amount="10.00"))
    _, *again = await commands.lines(*show)
    assert (again[4]["became"], again[4]["paid"]) == ("refused", "0.00")
    assert "no such student" in (await commands.call(*show)).stdout


async def test_the_functions_over_time_agree_with_the_account(path: WritePath) -> None:
    await path.take(fine(), fine(fine_id="F-2", currency="JPY", amount="700"))
    await export(path)
    await path.take(payment(amount="20.00"))
    now = await path.rows("SELECT * FROM report_account ORDER BY currency")
    columns = "institution_id, patron_id, currency, active, transferred, total"
    for name in ("recorded", "effective"):
        then = await path.rows(
            f"SELECT {columns} FROM report_account_{name}(now() + interval '1 day') ORDER BY 3"
        )
        assert then == [{key: row[key] for key in columns.split(", ")} for row in now], name
