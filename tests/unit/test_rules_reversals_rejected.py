"""Reversals that do not apply move nothing (rules.md, 3, rows 5 and 14)."""

from collections.abc import Sequence

from tests.support.bursar import pays, reverses, tells
from tests.support.given import (
    CREDIT_ID,
    EXPORTED,
    FINE,
    HOLDS,
    LOST,
    adjusts,
    creates,
    desk_pays,
    disputes,
    exports,
    table,
    waives,
)
from tests.support.in_memory import Ledger, Step, check_not_applied

PARTLY = (*EXPORTED, pays(40_00))


OVERPAID = (*EXPORTED, pays(100_00))


LOST_NOTED = (creates(95_00, type_=LOST), exports(), pays(95_00))


TWO = (*PARTLY, creates(5_00, "F2"), exports("F2", batch=2))


RULE_5 = (*TWO, pays(1, "F1", line="2001", payment_id="p2"))


@table(
    "history event outcome",
    ("14 unknown original", EXPORTED, reverses("p9"), "parked:unknown_original"),
    ("14 another source's payment", PARTLY, reverses(source="x"), "parked:unknown_original"),
    ("14 original parked, unknown fine", (pays(1),), reverses(), "parked:unknown_original"),
    ("14 original parked, not exported", (*FINE, pays(1)), reverses(), "parked:unknown_original"),
    (
        "14 original held",
        (*FINE, exports(terms=HOLDS), pays(95_01)),
        reverses(),
        "parked:unknown_original",
    ),
    (
        "14 original rejected",
        (*EXPORTED, pays(1, currency="EUR")),
        reverses(currency="EUR"),
        "rejected:original_rejected",
    ),
    (
        "14 original rejected for its unknown line, named alike",
        (*EXPORTED, pays(1, None, line="7")),
        reverses(line="7"),
        "rejected:original_rejected",
    ),
    (
        "14 original rejected for its unknown line, which is known by now",
        (pays(1, None, line="1001"), *EXPORTED),
        reverses(line="1001"),
        "rejected:original_rejected",
    ),
    (
        "14 original rejected for its unknown line, named by the fine whose line it is by now",
        (pays(1, None, line="1001"), *EXPORTED),
        reverses(fine_id="F1"),
        "rejected:original_rejected",
    ),
    (
        "14-5 original rejected for its unknown line, named by a fine",
        (*EXPORTED, pays(1, None, line="7")),
        reverses(fine_id="F1"),
        "rejected:reference_mismatch",
    ),
    (
        "14 original rejected for two references, named by the bursar id alone",
        RULE_5,
        reverses("p2", line="2001"),
        "rejected:original_rejected",
    ),
    (
        "14 original is a reversal",
        (*PARTLY, reverses()),
        reverses("r1", payment_id="r2"),
        "rejected:not_reversible",
    ),
    (
        "14 original is a rejected reversal",
        (*PARTLY, reverses(amount=41_00)),
        reverses("r1", payment_id="r2"),
        "rejected:original_rejected",
    ),
    (
        "14 original is a status",
        (*EXPORTED, tells("invoiced")),
        reverses("s1"),
        "rejected:not_reversible",
    ),
    (
        "14 second reversal",
        (*PARTLY, reverses()),
        reverses(payment_id="r2"),
        "rejected:already_reversed",
    ),
    (
        "14 second reversal of a noted payment",
        (*LOST_NOTED, reverses()),
        reverses(payment_id="r2"),
        "rejected:already_reversed",
    ),
    ("14 more than it was", PARTLY, reverses(amount=40_01), "rejected:amount_mismatch"),
    (
        "14 of an overpayment, the part that fitted",
        OVERPAID,
        reverses(amount=95_00),
        "rejected:amount_mismatch",
    ),
    ("14-5 another fine", TWO, reverses(fine_id="F2"), "rejected:reference_mismatch"),
    ("14-5 an unknown fine", TWO, reverses(fine_id="F9"), "rejected:reference_mismatch"),
    ("14-5 another fine's line", TWO, reverses(line="2001"), "rejected:reference_mismatch"),
    ("14-5 an unknown line", TWO, reverses(line="7"), "rejected:reference_mismatch"),
    (
        "14-5 the fine and another fine's line",
        TWO,
        reverses(fine_id="F1", line="2001"),
        "rejected:reference_mismatch",
    ),
    (
        "14-5 both references, which contradict each other, as the original's did",
        RULE_5,
        reverses("p2", fine_id="F1", line="2001"),
        "rejected:reference_mismatch",
    ),
    ("14-6 other currency", PARTLY, reverses(currency="EUR"), "rejected:currency_mismatch"),
    (
        "14 references before currency",
        TWO,
        reverses(fine_id="F2", currency="EUR"),
        "rejected:reference_mismatch",
    ),
    (
        "14 currency before second reversal",
        (*PARTLY, reverses()),
        reverses(payment_id="r2", currency="EUR"),
        "rejected:currency_mismatch",
    ),
    (
        "14 second reversal before its amount",
        (*PARTLY, reverses()),
        reverses(payment_id="r2", amount=1),
        "rejected:already_reversed",
    ),
    (
        "14 the credit was exported",
        (*OVERPAID, exports(CREDIT_ID, batch=2)),
        reverses(),
        "rejected:credit_already_exported",
    ),
    (
        "14 the credit was exported and refunded",
        (*OVERPAID, exports(CREDIT_ID, batch=2), pays(5_00, CREDIT_ID, payment_id="p2")),
        reverses(),
        "rejected:credit_already_exported",
    ),
    (
        "14 the credit was used in part",
        (*OVERPAID, desk_pays(1, CREDIT_ID)),
        reverses(),
        "rejected:credit_already_exported",
    ),
    (
        "14 the credit was used up",
        (*OVERPAID, waives(5_00, CREDIT_ID)),
        reverses(),
        "rejected:credit_already_exported",
    ),
    (
        "14 the credit was adjusted",
        (*OVERPAID, adjusts(4_00, CREDIT_ID)),
        reverses(),
        "rejected:credit_already_exported",
    ),
    (
        "14 the credit is in dispute and was used in part",
        (*OVERPAID, disputes(CREDIT_ID, change_id="c0"), desk_pays(1, CREDIT_ID)),
        reverses(),
        "rejected:credit_already_exported",
    ),
    (
        "14 the amount before the credit",
        (*OVERPAID, desk_pays(1, CREDIT_ID)),
        reverses(amount=1),
        "rejected:amount_mismatch",
    ),
    ("14-2 repeat", (*PARTLY, reverses()), reverses(), "repeat"),
    ("14-2 repeat of a parked one", (reverses(),), reverses(), "repeat"),
    ("14-3 conflict", (*PARTLY, reverses()), reverses(amount=40_00), "rejected:payment_conflict"),
    (
        "14-3 conflict with a payment of that id",
        PARTLY,
        reverses("p1", payment_id="p1"),
        "rejected:payment_conflict",
    ),
)
def test_a_reversal_that_does_not_apply_moves_nothing(
    history: Sequence[Step], event: Step, outcome: str
) -> None:
    check_not_applied(Ledger(*history), event, outcome)


@table(
    "history event fields",
    (
        "a payment by two references",
        TWO,
        pays(1, "F2", line="1001", payment_id="p2"),
        "bursar_transaction_id, fine_id",
    ),
    (
        "14-5 two references",
        TWO,
        reverses(fine_id="F1", line="2001"),
        "bursar_transaction_id, fine_id",
    ),
    ("14-5 by fine", TWO, reverses(fine_id="F2"), "reverses_payment_id, fine_id"),
    ("14-5 by line", TWO, reverses(line="2001"), "reverses_payment_id, bursar_transaction_id"),
)
def test_a_mismatch_names_both_fields(history: Sequence[Step], event: Step, fields: str) -> None:
    (rejection,) = Ledger(*history).take(event).rejections
    assert rejection.detail == f"{fields}: must name the same fine"
