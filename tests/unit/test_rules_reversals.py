"""Reversals: whole, once, and exactly what the original did (rules.md, 3, rows 5 and 14)."""

from collections.abc import Sequence
from dataclasses import replace

from service.core.ledger import PaymentRef, SourceKey
from service.core.payments import excess_credit_id
from service.core.words import PaymentKind
from tests.support.bursar import pays, refuses, reverses, says, tells, writes_off
from tests.support.given import (
    BOTH,
    ERP,
    HOLDS,
    LOST,
    UNI,
    at,
    creates,
    desk_pays,
    disputes,
    exports,
    table,
    waives,
)
from tests.support.in_memory import (
    Ledger,
    Now,
    StaleRead,
    Step,
    closed,
    moved,
    now,
    open_,
    outcome_of_event,
    transferred,
)
from tests.support.view_store import sound

FINE = (creates(95_00),)
EXPORTED = (*FINE, exports())
PARTLY = (*EXPORTED, pays(40_00))
PAID = (*EXPORTED, pays(95_00))
OVERPAID = (*EXPORTED, pays(100_00))
EXCESS = (*EXPORTED, pays(95_00, payment_id="p0"), pays(10_00))
LOST_NOTED = (creates(95_00, type_=LOST), exports(), pays(95_00))
CREDIT_ID = excess_credit_id(SourceKey(UNI, ERP, "p1"))


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
        (*PARTLY, reverses(amount=39_00)),
        reverses(amount=40_00, payment_id="r2"),
        transferred(95_00),
        [("reversal", 40_00, 0, 40_00)],
    ),
)
def test_what_a_reversal_undoes(
    history: Sequence[Step], event: Step, state: Now, posted: Sequence[StaleRead]
) -> None:
    ledger = Ledger(*history)
    done = ledger.take(event)
    assert outcome_of_event(done) == ("noted" if posted[0][0] == "reversal_noted" else "applied")
    assert [moved(line) for line in done.transactions] == posted
    assert {line.comment for line in done.transactions} == {"Bursar"}
    assert now(ledger) == state
    assert done.rejections == ()
    sound(ledger.store)


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
        (*PARTLY, reverses(amount=1)),
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
    ("14 a part", PARTLY, reverses(amount=39_99), "rejected:amount_mismatch"),
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
        "14 the credit is in dispute: not Active",
        (*OVERPAID, disputes(CREDIT_ID)),
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
    ledger = Ledger(*history)
    before = ledger.store.copy()
    done = ledger.take(event)
    assert outcome_of_event(done) == outcome
    assert done.transactions == ()
    assert ledger.store.accounts == before.accounts
    assert ledger.store.fines == before.fines
    assert len(ledger.reasons()) - len(before.rejections) == outcome.startswith("rejected")
    assert len(ledger.waits()) - len(before.parked) == outcome.startswith("parked")


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


def test_a_reversal_ahead_of_its_payment_and_its_fine_waits_for_both() -> None:
    ledger = Ledger(reverses())
    assert ledger.waits() == {"r1": "unknown_original"}
    ledger.take(pays(95_00))
    assert ledger.waits() == {"r1": "unknown_original", "p1": "unknown_fine"}
    ledger.take(creates(95_00))
    assert ledger.waits() == {"r1": "unknown_original", "p1": "not_exported"}
    done = ledger.take(exports())
    kinds = [line.kind.value for line in done.transactions]
    assert kinds == ["export_and_paid", "payment", "reversal"]
    assert now(ledger) == transferred(95_00)
    assert ledger.waits() == {}


def test_a_reversal_ahead_of_its_payment_applies_right_after_it() -> None:
    ledger = Ledger(*EXPORTED, reverses())
    done = ledger.take(pays(95_00))
    assert [line.kind.value for line in done.transactions] == ["payment", "reversal"]
    assert now(ledger) == transferred(95_00)


def test_a_reversal_behind_a_payment_that_is_rejected_is_rejected_too() -> None:
    ledger = Ledger(*EXPORTED, reverses(currency="EUR"))
    ledger.take(pays(1, currency="EUR"))
    assert ledger.reasons() == ["original_rejected", "currency_mismatch"] or ledger.reasons() == [
        "currency_mismatch",
        "original_rejected",
    ]
    assert ledger.waits() == {}


def test_a_reversal_behind_a_held_payment_stays_behind_it() -> None:
    ledger = Ledger(*FINE, exports(terms=HOLDS), pays(95_01), reverses())
    ledger.store.fold(queues=[ledger.fine().facts.key])
    assert ledger.waits() == {"p1": "overpaid_held", "r1": "unknown_original"}


def test_a_reversal_of_a_parked_reversal_falls_when_that_one_applies() -> None:
    ledger = Ledger(reverses("r1", payment_id="r2"), reverses("p1", payment_id="r1"))
    assert ledger.waits() == {"r2": "unknown_original", "r1": "unknown_original"}
    ledger.take(pays(95_00))
    ledger.take(creates(95_00))
    done = ledger.take(exports())
    kinds = [line.kind.value for line in done.transactions]
    assert kinds == ["export_and_paid", "payment", "reversal"]
    assert ledger.reasons() == ["not_reversible"]
    assert ledger.waits() == {}


def test_of_two_reversals_behind_one_payment_the_older_counts() -> None:
    ledger = Ledger(*EXPORTED, reverses(payment_id="r1"), reverses(payment_id="r2"))
    ledger.take(pays(95_00))
    assert (ledger.payment_state("r1"), ledger.payment_state("r2")) == ("applied", "rejected")
    assert ledger.reasons() == ["already_reversed"]


def test_two_reversals_of_each_other_wait_for_ever() -> None:
    ledger = Ledger(reverses("r2", payment_id="r1"), reverses("r1", payment_id="r2"))
    assert ledger.waits() == {"r1": "unknown_original", "r2": "unknown_original"}
    ledger.store.fold(queues=[SourceKey(UNI, ERP, "r1"), SourceKey(UNI, ERP, "r2")])
    assert ledger.waits() == {"r1": "unknown_original", "r2": "unknown_original"}


def test_a_reversal_of_itself_waits() -> None:
    assert Ledger(reverses("r1", payment_id="r1")).waits() == {"r1": "unknown_original"}


def test_a_change_of_the_excess_credit_and_a_reversal_go_oldest_first() -> None:
    # Both wait for the payment that makes the credit; whichever came first has its way.
    used = Ledger(*EXPORTED, waives(5_00, CREDIT_ID), reverses(), pays(100_00))
    assert used.reasons() == ["credit_already_exported"]
    assert now(used) == transferred(0)
    undone = Ledger(*EXPORTED, reverses(), waives(5_00, CREDIT_ID), pays(100_00))
    assert undone.reasons() == ["already_closed"]
    assert now(undone) == transferred(95_00)


@table(
    "ahead",
    ("the change first", (waives(5_00, CREDIT_ID), reverses())),
    ("the reversal first", (reverses(), waives(5_00, CREDIT_ID))),
)
def test_it_is_the_same_whether_the_payment_or_the_export_came_first(
    ahead: Sequence[Step],
) -> None:
    one = Ledger(*FINE, *ahead, exports(), pays(100_00))
    other = Ledger(*FINE, *ahead, pays(100_00), exports())
    assert one.reasons() == other.reasons()
    assert one.store.fines == other.store.fines
    assert one.store.transactions == other.store.transactions


def test_a_payment_for_an_excess_credit_may_come_before_the_credit() -> None:
    ledger = Ledger(*EXPORTED, pays(5_00, CREDIT_ID, payment_id="p2"))
    assert ledger.waits() == {"p2": "unknown_fine"}
    ledger.take(pays(100_00))
    assert ledger.waits() == {"p2": "not_exported"}
    ledger.take(exports(CREDIT_ID, batch=2))
    assert now(ledger, CREDIT_ID) == transferred(0)
    assert ledger.waits() == {}


def test_a_payment_waiting_for_a_credit_that_is_cancelled_is_rejected() -> None:
    ledger = Ledger(*OVERPAID, pays(5_00, CREDIT_ID, payment_id="p2"))
    assert ledger.waits() == {"p2": "not_exported"}
    ledger.take(reverses())
    assert ledger.reasons() == ["not_live"]
    assert ledger.waits() == {}


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
