"""A fine's whole story, as the command `history` tells it."""

from service.core.after_export import change_credit_id
from service.core.ledger import SourceKey
from tests.support.commands import Commands
from tests.support.exports import patron
from tests.support.installation import institution, profile
from tests.support.reporting import STORY, export
from tests.support.write_path import WritePath, change, fine, payment, record, response, reversal

INCLUDED = {"included": True}


async def test_a_story_tells_everything_in_the_order_it_was_recorded(
    path: WritePath, commands: Commands
) -> None:
    await path.take(fine(amount="100.00"))
    await path.take(change(), payment(payment_id="EARLY", amount="30.00"))
    await export(path)
    line = await path.value("SELECT line FROM fine")
    await path.take(
        payment(payment_id="P-2", amount="65.00"),
        payment(payment_id="P-3", amount="5.00", currency="EUR"),
        payment(payment_id="P-4", amount="1,00"),
        reversal("R-2", "P-2", currency="USD"),
        payment(payment_id="OTHER", fine_id="F-2"),
        response(profile="SIS"),
        response(
            response_id="R-2",
            profile="SIS",
            outcome="partial",
            refused_lines=[{"bursar_transaction_id": line, "reason": "gone"}],
        ),
    )
    story = await commands.lines(*STORY, "--fine", "F-1")
    result = [(item["what"], item["kind"], item.get("amount")) for item in story[2:]]
    credit = story[1]["fine_id"]
    assert [item["fine_id"] for item in story[:2]] == ["F-1", credit]
    assert result[:6] == [
        ("transaction", "fine", "100.00"),
        ("transaction", "desk_payment", "10.00"),
        ("transaction", "export_and_paid", "90.00"),
        ("transaction", "payment", "30.00"),
        ("transaction", "payment", "60.00"),
        ("transaction", "credit", "-5.00"),
    ]
    assert ("transaction", "reversal", "60.00") in result
    assert ("transaction", "credit_cancelled", "5.00") in result
    reasons = [item["text"].split(":")[0] for item in story if item["what"] == "rejected"]
    assert sorted(reasons) == ["already_paid", "currency_mismatch", "invalid_amount"]
    answers = [item for item in story if item["what"] == "response"]
    assert [answer["text"] for answer in answers] == [
        "accepted, line live",
        "partial, already_paid, line live",
    ]
    assert {answer["occurred_at"] for answer in answers} == {"2026-09-15T08:00:00Z"}
    recorded = [item["recorded_at"] for item in story[2:]]
    assert None not in recorded
    assert recorded == sorted(recorded)
    assert not any("OTHER" in str(item) for item in story)
    whole = await commands.lines(*STORY, "--patron", "P-1")
    assert whole == story


async def test_each_answer_to_a_batch_is_told_in_its_order_with_what_it_said(
    path: WritePath, commands: Commands
) -> None:
    await path.take(*(fine(fine_id=f"F-{n}") for n in range(3)))
    await export(path)
    await path.take(payment(fine_id="F-1", amount="1.00"))
    for response_id, outcome, more in (
        ("Z", "accepted", {}),
        ("Y", "refused", {"reason": "unreadable"}),
        ("X", "accepted", {"control": {"count": 9, "total": "1.00"}}),
    ):
        await path.take(response(response_id=response_id, profile="SIS", outcome=outcome, **more))
    show = ("export", "show", "--institution", "6050", "--profile", "SIS", "--batch", "1")
    rows = (await commands.lines(*show))[0]["responses"]
    assert rows == [
        "SAP: Z, accepted (3 lines), applied",
        "SAP: Y, refused, rejected: already_paid",
        "SAP: X, accepted, rejected: control_total_mismatch",
    ]
    # As a version before kept them.
    await path.pool.execute(
        "UPDATE export_response"
        " SET outcome = NULL, lines = NULL, responded_at = NULL, recorded_at = NULL"
    )
    rows = (await commands.lines(*show))[0]["responses"]
    assert rows[2] == "SAP: Z, applied"
    story = await commands.lines(*STORY, "--fine", "F-1")
    assert [item["what"] for item in story[-3:]] == ["response"] * 3
    await path.take(response(response_id="Z", profile="SIS"))  # known still


DECISION = "a person's decision: the program or the database failed on it"


async def test_a_story_is_told_of_a_fine_that_only_records_name(
    path: WritePath, commands: Commands
) -> None:
    await path.pool.execute("ALTER TABLE fine ADD CONSTRAINT odd CHECK (loan_id <> 'L-odd')")
    await path.take(payment(fine_id="F/ü"), fine(fine_id="F/ü", loan_id="L-odd"))
    await path.take(fine(fine_id="F/ü", amount="0.00"), record("bursar-payment.v1", b"{"))
    story = await commands.lines(*STORY, "--fine", "F/ü")
    assert [(item["what"], item["kind"], item["text"]) for item in story] == [
        ("parked", "payment", "waits for the fine (unknown_fine)"),
        ("parked", "fine", f"waits for {DECISION} (internal_error)"),
        ("rejected", "library.fine-created.v1", "invalid_amount: amount: must be above zero"),
    ]


async def test_decisions_are_part_of_the_story(path: WritePath, commands: Commands) -> None:
    await path.take(fine(exportable=False), payment())
    why = ("--reason", "asked by the dean", "--operator", "ann")
    await commands.lines("held", "release", "--institution", "6050", "--fine", "F-1", *why)
    paid = ("--institution", "6050", "--source", "SAP", "--id", "PAY-1")
    await commands.lines("parked", "discard", *paid, *why)
    story = await commands.lines(*STORY, "--fine", "F-1")
    decisions = [(item["kind"], item["text"]) for item in story if item["what"] == "decision"]
    assert decisions == [
        ("held_release", "released (ann: asked by the dean)"),
        ("parked_discard", "discarded (ann: asked by the dean)"),
    ]
    await path.pool.execute("DELETE FROM rejected")  # the bytes expire, the refusal is known still
    story = await commands.lines(*STORY, "--fine", "F-1")
    (rejected,) = (item["text"] for item in story if item["what"] == "rejected")
    assert rejected == "discarded: record: an operator discarded it"


async def test_a_story_has_all_credits_of_its_fine(path: WritePath, commands: Commands) -> None:
    """Those that a change in the library made and those that name the fine, but no other's."""
    await path.take(fine(amount="25.00"))
    await path.export(institution() + profile("SIS", library_payments="credit", credits=INCLUDED))
    named = {"type": "CREDIT", "credit_of": "F-1"}
    await path.take(
        change(amount="10.00"),
        fine(fine_id="C-1", amount="-5.00", **named),
        fine(fine_id="C-2", amount="-4.00", patron=patron("P-2"), **named),
        fine(fine_id="C-3", amount="-3.00", type="CREDIT", credit_of="C-1"),
    )
    made = change_credit_id(SourceKey("6050", "ALMA", "C-1"))
    story = await commands.lines(*STORY, "--fine", "F-1")
    fine_ids = [item["fine_id"] for item in story if item["what"] == "fine"]
    assert fine_ids == ["C-1", "F-1", made]
    assert {item.get("fine_id") for item in story} == {*fine_ids}
