"""Reversals of a part that do not apply move nothing, and say why (rules.md, 3, row 14)."""

from collections.abc import Sequence

from tests.support.bursar import pays, refuses, reverses, writes_off
from tests.support.given import EXPORTED, LOST, creates, exports, table
from tests.support.in_memory import Ledger, Step, check_not_applied

PAID = (*EXPORTED, pays(95_00))
OVERPAID = (*EXPORTED, pays(100_00))
NOTED = (creates(95_00, type_=LOST), exports(), pays(95_00))
CHARGED_BACK = (*PAID, reverses(amount=30_00, payment_id="r0"))
WHOLE_BEFORE = (*PAID, reverses(payment_id="r0"))


@table(
    "history event outcome",
    ("14-3.7 more than is left", CHARGED_BACK, reverses(amount=65_01), "rejected:amount_mismatch"),
    (
        "14-3.7 the whole of a part",
        CHARGED_BACK,
        reverses(amount=95_00),
        "rejected:amount_mismatch",
    ),
    (
        "14-3.7 more than is left of a noted payment",
        (*NOTED, reverses(amount=30_00, payment_id="r0")),
        reverses(amount=65_01),
        "rejected:amount_mismatch",
    ),
    (
        "14-3.11 a part of an overpayment",
        OVERPAID,
        reverses(amount=5_00),
        "rejected:amount_mismatch",
    ),
    (
        "14-3.11 all but the smallest part of an overpayment",
        OVERPAID,
        reverses(amount=99_99),
        "rejected:amount_mismatch",
    ),
    (
        "14-3.11 a part of a payment that was all excess",
        (*PAID, pays(10_00, payment_id="p2")),
        reverses("p2", amount=9_00),
        "rejected:amount_mismatch",
    ),
    (
        "14-3.6 after parts that left nothing",
        (*CHARGED_BACK, reverses(amount=65_00)),
        reverses(payment_id="r2"),
        "rejected:already_reversed",
    ),
    (
        "14-3.6 a part after parts that left nothing",
        (*CHARGED_BACK, reverses()),
        reverses(payment_id="r2", amount=1),
        "rejected:already_reversed",
    ),
    (
        "14-3.6 of a noted payment, after parts that left nothing",
        (*NOTED, reverses(amount=30_00, payment_id="r0"), reverses(amount=65_00)),
        reverses(payment_id="r2"),
        "rejected:already_reversed",
    ),
    (
        "14-3.6 a part after the whole",
        WHOLE_BEFORE,
        reverses(amount=1),
        "rejected:already_reversed",
    ),
    (
        "14-3.5 a part of a reversal of a part",
        CHARGED_BACK,
        reverses("r0", amount=1),
        "rejected:not_reversible",
    ),
    (
        "14-13 more than is outstanding again",
        CHARGED_BACK,
        writes_off(30_01, payment_id="p2"),
        "rejected:exceeds_outstanding",
    ),
    ("14-2 the same part again", CHARGED_BACK, reverses(amount=30_00, payment_id="r0"), "repeat"),
    (
        "14-3 the same id with another part",
        CHARGED_BACK,
        reverses(amount=30_01, payment_id="r0"),
        "rejected:payment_conflict",
    ),
    (
        "14-3 the same id without the part",
        CHARGED_BACK,
        reverses(payment_id="r0"),
        "rejected:payment_conflict",
    ),
    ("5.15 refused after a part", CHARGED_BACK, refuses(), "rejected:already_paid"),
    (
        "5.15 refused after a part of a noted payment",
        (*NOTED, reverses(amount=94_99)),
        refuses(),
        "rejected:already_paid",
    ),
)
def test_what_moves_nothing(history: Sequence[Step], event: Step, outcome: str) -> None:
    check_not_applied(Ledger(*history), event, outcome)


@table(
    "history event detail",
    (
        "3.7",
        CHARGED_BACK,
        reverses(amount=65_01),
        "amount: is more than what is left of that payment",
    ),
    (
        "3.11",
        OVERPAID,
        reverses(amount=5_00),
        "amount: that payment left an excess, so it can only be reversed whole",
    ),
    (
        "3.6",
        (*PAID, reverses()),
        reverses(payment_id="r2"),
        "reverses_payment_id: nothing of that payment is left to reverse",
    ),
)
def test_the_detail_says_what_is_wrong(history: Sequence[Step], event: Step, detail: str) -> None:
    (rejection,) = Ledger(*history).take(event).rejections
    assert rejection.detail == detail
