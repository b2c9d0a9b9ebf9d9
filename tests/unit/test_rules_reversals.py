"""Reversals: whole, once, and exactly what the original did (rules.md, 3, rows 5 and 14)."""

from collections.abc import Sequence
from dataclasses import replace

from service.core.ledger import PaymentRef, SourceKey
from service.core.words import PaymentKind
from tests.support.bursar import pays, refuses, reverses, says, writes_off
from tests.support.given import (
    BOTH,
    CREDIT_ID,
    ERP,
    EXPORTED,
    FINE,
    LOST,
    UNI,
    adjusts,
    at,
    creates,
    disputes,
    exports,
    table,
)
from tests.support.in_memory import (
    Ledger,
    Movement,
    Now,
    Step,
    check_applied,
    closed,
    now,
    open_,
    outcome_of_event,
    transferred,
)

PARTLY = (*EXPORTED, pays(40_00))


PAID = (*EXPORTED, pays(95_00))


OVERPAID = (*EXPORTED, pays(100_00))


EXCESS = (*EXPORTED, pays(95_00, payment_id="p0"), pays(10_00))


LOST_NOTED = (creates(95_00, type_=LOST), exports(), pays(95_00))


@table(
    "history event state posted",
    (
        "14 a partial payment",
        PARTLY,
        reverses(),
        transferred(95_00),
        [("reversal", 40_00, 0, 40_00)],
    ),
    (
        "14 a full payment: considered active again",
        PAID,
        reverses(),
        transferred(95_00),
        [("reversal", 95_00, 0, 95_00)],
    ),
    (
        "14 with its amount and references",
        PAID,
        reverses(amount=95_00, fine_id="F1", line="1001"),
        transferred(95_00),
        [("reversal", 95_00, 0, 95_00)],
    ),
    (
        "14 without a currency and an amount",
        PAID,
        reverses(currency=None),
        transferred(95_00),
        [("reversal", 95_00, 0, 95_00)],
    ),
    (
        "14 a write-off",
        (*EXPORTED, writes_off(95_00)),
        reverses(),
        transferred(95_00),
        [("reversal", 95_00, 0, 95_00)],
    ),
    (
        "14 one of two that paid it in full",
        (*PARTLY, pays(55_00, payment_id="p2")),
        reverses("p2"),
        transferred(55_00),
        [("reversal", 55_00, 0, 55_00)],
    ),
    (
        "14 an overpayment: its credit is cancelled",
        OVERPAID,
        reverses(),
        transferred(95_00),
        [("reversal", 95_00, 0, 95_00), ("credit_cancelled", 5_00, 5_00, 0)],
    ),
    (
        "14 an overpayment, by the whole amount it had",
        OVERPAID,
        reverses(amount=100_00),
        transferred(95_00),
        [("reversal", 95_00, 0, 95_00), ("credit_cancelled", 5_00, 5_00, 0)],
    ),
    (
        "14 a wholly excess payment: the fine stays paid",
        EXCESS,
        reverses(),
        transferred(0),
        [("credit_cancelled", 10_00, 10_00, 0)],
    ),
    (
        "14 an overpayment whose credit was exported and refused: Active and whole",
        (*OVERPAID, exports(CREDIT_ID, batch=2), refuses(batch=2)),
        reverses(),
        transferred(95_00),
        [("reversal", 95_00, 0, 95_00), ("credit_cancelled", 5_00, 5_00, 0)],
    ),
    (
        "14 an overpayment whose credit is in dispute: whole, and not exported",
        (*OVERPAID, disputes(CREDIT_ID)),
        reverses(),
        transferred(95_00),
        [("reversal", 95_00, 0, 95_00), ("credit_cancelled", 5_00, 5_00, 0)],
    ),
    (
        "14 an overpayment whose credit was adjusted there and back: whole",
        (*OVERPAID, adjusts(4_00, CREDIT_ID), adjusts(5_00, CREDIT_ID, "c2")),
        reverses(),
        transferred(95_00),
        [("reversal", 95_00, 0, 95_00), ("credit_cancelled", 5_00, 5_00, 0)],
    ),
    (
        "14 a credit's refund: the other sign",
        (creates(-20_00), exports(), pays(20_00)),
        reverses(),
        transferred(-20_00),
        [("reversal", 20_00, 0, -20_00)],
    ),
    (
        "14 a noted payment: the reversal is noted too",
        LOST_NOTED,
        reverses(),
        closed(),
        [("reversal_noted", 95_00, 0, 0)],
    ),
    (
        "14 by an old bursar id of the same fine",
        (*EXPORTED, refuses(), exports(batch=2), pays(95_00)),
        reverses(line="1001"),
        transferred(95_00),
        [("reversal", 95_00, 0, 95_00)],
    ),
    (
        "14 again paid and again reversed",
        (*PAID, reverses(), pays(95_00, payment_id="p2")),
        reverses("p2", payment_id="r2"),
        transferred(95_00),
        [("reversal", 95_00, 0, 95_00)],
    ),
    (
        "14 after a reversal that was rejected",
        (*PARTLY, reverses(amount=41_00)),
        reverses(amount=40_00, payment_id="r2"),
        transferred(95_00),
        [("reversal", 40_00, 0, 40_00)],
    ),
)
def test_what_a_reversal_undoes(
    history: Sequence[Step], event: Step, state: Now, posted: Sequence[Movement]
) -> None:
    outcome = "noted" if posted[0][0] == "reversal_noted" else "applied"
    done = check_applied(Ledger(*history), event, state, posted, outcome)
    assert {line.comment for line in done.transactions} == {"Bursar"}


def test_a_reversed_payment_knows_its_reversal_and_the_reversal_its_payment() -> None:
    ledger = Ledger(*PARTLY)
    line = ledger.take(reverses(status_code="storno")).transactions[0]
    assert line.cause == PaymentRef("erp", "r1", "p1", "storno", None)
    assert line.occurred_at == at(40)
    payments = ledger.store.payments
    assert payments[SourceKey(UNI, ERP, "p1")].reversed_by == "r1"
    reversal = payments[SourceKey(UNI, ERP, "r1")]
    assert (reversal.reverses, reversal.fine_id, reversal.state.value) == ("p1", "F1", "applied")


def test_a_cancelled_credit_is_closed_and_takes_no_payment() -> None:
    ledger = Ledger(*OVERPAID, reverses())
    assert now(ledger, CREDIT_ID) == replace(closed(), transferred=95_00)
    assert outcome_of_event(ledger.take(pays(1, CREDIT_ID, payment_id="p2"))) == "rejected:not_live"
    gone = outcome_of_event(ledger.take(disputes(CREDIT_ID)))
    assert gone == "rejected:already_closed"


def test_the_middle_one_of_three_partial_payments_is_reversed() -> None:
    three = [pays(n * 10_00, payment_id=f"p{n}") for n in (1, 2, 3)]
    ledger = Ledger(*EXPORTED, *three)
    assert now(ledger) == transferred(35_00)
    ledger.take(reverses("p2"))
    assert now(ledger) == transferred(55_00)
    assert ledger.fine().payments_live == 2


def test_a_refused_fine_comes_back_and_may_be_reversed_no_more() -> None:
    ledger = Ledger(*PARTLY, reverses(), refuses())
    assert now(ledger) == open_(95_00)
    second = ledger.take(reverses(payment_id="r2"))
    assert outcome_of_event(second) == "rejected:already_reversed"


def test_a_payment_without_fine_id_is_reversed_by_a_reversal_without_references() -> None:
    ledger = Ledger(*EXPORTED, pays(95_00, None, line="1001"), reverses())
    assert now(ledger) == transferred(95_00)


def test_a_payment_by_an_unknown_line_and_a_known_fine_is_reversed_by_either() -> None:
    for named in (reverses(line="7"), reverses(fine_id="F1"), reverses(line="1001")):
        ledger = Ledger(*EXPORTED, pays(95_00, line="7"))
        assert outcome_of_event(ledger.take(named)) == "applied"


def test_a_reversal_under_a_label_of_its_own() -> None:
    labelled = replace(BOTH, labels=tuple((kind, kind.upper()) for kind, _ in BOTH.labels))
    ledger = Ledger(*FINE, exports(terms=labelled), pays(95_00))
    assert [line.label for line in ledger.take(reverses()).transactions] == ["Payment reversed"]


def test_an_erps_comment_stays_with_its_cause() -> None:
    ledger = Ledger(*EXPORTED)
    given = says(PaymentKind.PAYMENT, 95_00, comment="counter 3")
    line = ledger.take(given).transactions[0]
    assert (line.comment, line.cause) == (
        "Bursar",
        PaymentRef("erp", "p1", None, None, "counter 3"),
    )
