"""Payments, lines and changes are found by their ids, in histories and in every list."""

from __future__ import annotations

import pytest

from tests.support.commands import Commands, MakeCommands
from tests.support.inputs import ABSENT
from tests.support.installation import institution, profile
from tests.support.write_path import WritePath, change, fine, payment, record, response

TEXT = institution() + profile("SIS", overpayment_max="50.00")
HOLDS = TEXT.replace('overpayment_max = "50.00"', 'overpayment = "hold"')
INSTITUTION = ("--institution", "6050")
PAY_1 = (*INSTITUTION, "--source", "SAP", "--id", "PAY-1")


@pytest.fixture
def commands(make_commands: MakeCommands) -> Commands:
    return make_commands(TEXT)


async def export(path: WritePath, text: str = TEXT) -> str:
    """The bursar transaction id of the line that was exported last."""
    await path.export(text)
    line = await path.value("SELECT max(bursar_transaction_id) FROM export_line")
    assert isinstance(line, str)
    return line


async def check_batches(commands: Commands, line: str) -> None:
    """The batch is found by its line and by a fine."""

    async def batches(*named: str) -> list[int]:
        rows = await commands.lines("export", "list", *INSTITUTION, *named)
        return [row["batch_number"] for row in rows]

    assert await batches("--line", line) == [1]
    assert await batches("--fine", "F-1") == [1]
    assert await batches("--line", "77") == []


async def check_lists_by_id(commands: Commands) -> None:
    """Parked and rejected records are found by fine, source and id."""

    async def ids(*arguments: str) -> list[str]:
        return [row["id"] for row in await commands.lines(*arguments)]

    assert await ids("parked", "list", "--fine", "F-9") == ["EARLY"]
    assert await ids("parked", "list", "--fine", "F-1") == []
    assert await ids("parked", "list", *INSTITUTION, "--source", "SAP", "--id", "EARLY") == [
        "EARLY"
    ]
    assert await ids("parked", "list", *INSTITUTION, "--source", "ELSE", "--id", "EARLY") == []
    assert await ids("rejected", "list", *INSTITUTION, "--id", "LOST") == ["LOST"]
    assert await ids("rejected", "list", *INSTITUTION, "--source", "ELSE", "--id", "LOST") == []
    assert (await commands.call("rejected", "list", "--id", "LOST")).exit_code == 2


async def test_a_search_for_a_mistyped_id_says_that_no_line_can_have_it(
    commands: Commands,
) -> None:
    ended = await commands.call("history", *INSTITUTION, "--line", "10000000019")
    assert ended.exit_code == 1
    assert "--line: no line can have this id: its check digit is wrong" in ended.stderr


async def test_a_history_and_a_batch_are_found_by_payment_change_and_line(
    path: WritePath, commands: Commands
) -> None:
    await path.take(
        fine(), change(), fine(fine_id="F-2"), change(fine_id="F-2", change_id="C-2", kind="waived")
    )
    line = await export(path)
    first = await path.value("SELECT min(bursar_transaction_id) FROM export_line")
    await path.take(
        payment(amount="20.00"),
        payment(payment_id="BY-LINE", fine_id=ABSENT, bursar_transaction_id=line),
        payment(payment_id="LOST", fine_id=ABSENT, bursar_transaction_id="77"),
        payment(payment_id="BAD", amount="0.00"),
        payment(payment_id="EARLY", fine_id="F-9"),
    )

    async def story(*named: str) -> list[tuple[str, str | None]]:
        rows = await commands.lines("history", *INSTITUTION, *named)
        return [(row["what"], row.get("fine_id")) for row in rows]

    of_first = await story("--fine", "F-1")
    assert await story("--payment", "SAP", "PAY-1") == [("payment", "F-1"), *of_first]
    assert await story("--change", "ALMA", "C-1") == of_first
    assert await story("--line", str(first)) == of_first
    of_second = await story("--fine", "F-2")
    assert await story("--payment", "SAP", "BY-LINE") == [("payment", "F-2"), *of_second]
    assert await story("--change", "ALMA", "C-2") == of_second
    assert await story("--payment", "SAP", "LOST") == [("payment", None), ("rejected", None)]
    assert await story("--payment", "SAP", "BAD") == [("rejected", None)]
    assert await story("--payment", "SAP", "EARLY") == [("payment", "F-9"), ("parked", "F-9")]
    for unknown in (("--payment", "SAP", "NO"), ("--change", "ALMA", "NO"), ("--line", "78")):
        assert (await commands.call("history", *INSTITUTION, *unknown)).exit_code == 1
    both = ("--fine", "F-1", "--line", line)
    assert (await commands.call("history", *INSTITUTION, *both)).exit_code == 2

    await path.take(
        response(
            profile="SIS",
            outcome="partial",
            reason=ABSENT,
            refused_lines=[{"bursar_transaction_id": line, "reason": "no such student"}],
        )
    )
    again = await export(path)

    await check_batches(commands, line)
    assert again == line  # money was paid on it by then: the refusal does not count
    assert (await commands.call("export", "list", "--line", line)).exit_code == 2

    await check_lists_by_id(commands)


def paid(number: int, **overrides: object) -> dict[str, object]:
    at = f"2026-10-{number:02}T00:00:00Z"
    return {"payment_id": f"P-{number}", "paid_at": at, "amount": "20.00", **overrides}


async def take_payments(path: WritePath) -> None:
    """Payments of every outcome, on a fine of 30.00 that was exported."""
    await path.take(fine(amount="30.00"))
    await export(path)
    back = {"amount": ABSENT, "fine_id": ABSENT}
    await path.take(
        payment(**paid(1)),
        payment(**paid(2)),
        payment(**paid(3)),
        payment(**paid(4, amount="500.00")),
        payment(**paid(5, kind="write_off")),
        payment(**paid(6, fine_id="F-9")),
        payment(**paid(7, kind="reversal", reverses_payment_id="P-1", **back)),
        payment(**paid(8, kind="status", amount=ABSENT, currency=ABSENT, status_code="storno")),
        payment(**paid(9, source="ELSE", fine_id="F-9")),
        payment(**paid(9, institution_id="77", fine_id="F-9", currency="JPY", amount="7")),
        record("bursar-payment.v1", b"{"),
    )


EXCESS = "a person's decision about more than what is outstanding"
MORE = "amount: is more than what is outstanding"


async def test_parked_payments_are_listed_with_their_amounts(
    path: WritePath, commands: Commands
) -> None:
    await take_payments(path)
    await path.take(change(fine_id="F-9"))
    rows = await commands.lines("parked", "list")
    assert [(row["id"], row["amount"], row["currency"]) for row in rows] == [
        ("P-4", "500.00", "USD"),
        ("P-6", "20.00", "USD"),
        ("P-9", "20.00", "USD"),
        ("P-9", "7", "JPY"),
        ("C-1", None, None),
    ]


async def test_all_payments_are_listed_with_what_became_of_them(
    path: WritePath, commands: Commands
) -> None:
    await take_payments(path)
    listed = await commands.lines("payments", "list")
    made = [row["credit_id"] for row in listed if row["credit_id"]]
    assert [(row["payment_id"], row["outcome"], row["in_words"]) for row in listed] == [
        ("P-1", "applied", "20.00 settled F-1; reversed by P-7"),
        ("P-2", "partly", f"10.00 settled F-1, 10.00 became the credit {made[0]}"),
        ("P-3", "partly", f"20.00 became the credit {made[1]}"),
        ("P-4", "parked", f"waits for {EXCESS} (overpaid_held)"),
        ("P-5", "rejected", f"rejected: exceeds_outstanding: {MORE}"),
        ("P-6", "parked", "waits for the fine (unknown_fine)"),
        ("P-7", "applied", "took back P-1: 20.00 of F-1 is outstanding again"),
        ("P-8", "noted", "noted on F-1, no balance changed"),
        ("P-9", "parked", "waits for the fine (unknown_fine)"),
        ("P-9", "parked", "waits for the fine (unknown_fine)"),
    ]
    assert [row["amount"] for row in listed[7:]] == [None, "20.00", "7"]

    async def some(*options: str) -> list[str]:
        rows = await commands.lines("payments", "list", *options)
        return [f"{row['institution_id']} {row['source']} {row['payment_id']}" for row in rows]

    assert await some("--since", "2026-10-08T00:00:00Z", *INSTITUTION) == [
        "6050 SAP P-8",
        "6050 ELSE P-9",
    ]
    assert await some("--source", "ELSE") == ["6050 ELSE P-9"]
    assert await some("--institution", "77") == ["77 SAP P-9"]
    assert await some("--since", "2026-10-09T00:00:01Z") == []
    page = await commands.call("payments", "list", "--limit", "3", "--json")
    assert len(page.stdout.splitlines()) == 3
    assert "go on with --since 2026-10-03T00:00:00Z" in page.stderr
    page = await commands.call(
        "payments", "list", "--since", "2026-10-09T00:00:00Z", "--limit", "2", "--json"
    )
    assert page.stderr.endswith("more may follow: go on with a larger --limit\n"), page.stderr
    assert (await commands.call("payments", "list", "--since", "soon")).exit_code == 2


async def test_an_over_payment_is_shown_with_its_sums_and_what_each_decision_does(
    path: WritePath, commands: Commands
) -> None:
    await path.take(fine(amount="10.00"))
    await export(path)
    await path.take(payment(amount="60.01"))
    (shown,) = await commands.lines("parked", "show", *PAY_1)
    sums = ("amount", "outstanding", "excess", "currency")
    assert [shown[name] for name in sums] == ["60.01", "10.00", "50.01", "USD"]
    assert shown["held_because"] == (
        "an excess of 50.01; at most 50.00 becomes a credit without a decision (overpayment_max)"
    )
    assert shown["release_would"] == (
        "settle 10.00 of F-1 and make a credit of 50.01 for the patron"
    )
    assert shown["discard_would"].startswith("reject the payment as discarded: no balance changes")
    await path.take(payment(payment_id="PAY-2", amount="10.00"))
    (shown,) = await commands.lines("parked", "show", *PAY_1)
    assert shown["release_would"] == "make a credit of 60.01 for the patron"
    (row,) = await commands.lines("parked", "release", *PAY_1, "--reason", "meant so")
    assert row["outcome"].startswith("applied, excess as credit bb-")
    assert await path.value("SELECT remaining FROM fine WHERE type = 'CREDIT'") == -6_001


async def test_an_over_payment_that_the_profile_holds_waits_again_once_its_line_is_refused(
    path: WritePath, commands: Commands
) -> None:
    await path.take(fine(amount="10.00"))
    await export(path, HOLDS)
    await path.take(payment(amount="11.00"))
    (shown,) = await commands.lines("parked", "show", *PAY_1)
    assert shown["held_because"] == 'the profile holds every over-payment (overpayment = "hold")'
    await path.take(response(profile="SIS", outcome="refused", reason="no such student"))
    (shown,) = await commands.lines("parked", "show", *PAY_1)
    assert (shown["outstanding"], shown["release_would"]) == ("0.00", "let it wait: not_exported")
    (other,) = await commands.lines("parked", "list")
    assert "excess" not in other
