"""Reversals of a part of a payment, until nothing of it is left (rules.md, 3, row 14)."""

from collections.abc import Sequence
from dataclasses import replace

from service.core.ledger import Payment, SourceKey
from tests.support.bursar import pays, refuses, reverses, writes_off
from tests.support.given import (
    CREDIT_ID,
    ERP,
    EXPORTED,
    FINE,
    LOST,
    UNI,
    creates,
    exports,
    table,
)
from tests.support.in_memory import (
    Ledger,
    Movement,
    Now,
    Step,
    check_not_applied,
    closed,
    moved,
    now,
    outcome_of_event,
    transferred,
)
from tests.support.view_store import sound

PARTLY = (*EXPORTED, pays(40_00))
PAID = (*EXPORTED, pays(95_00))
NOTED = (creates(95_00, type_=LOST), exports(), pays(95_00))
CREDITED = (creates(-20_00), exports(), pays(20_00))
CHARGED_BACK = (*PAID, reverses(amount=30_00, payment_id="r0"))
# As a release leaves it that reverses payments only as a whole: without the amount.
WHOLE_BEFORE = (*PAID, reverses(payment_id="r0"))


def payment(ledger: Ledger, payment_id: str = "p1") -> Payment:
    return ledger.store.payments[SourceKey(UNI, ERP, payment_id)]


@table(
    "history event state posted",
    (
        "14-3.10 a chargeback of a part of a full payment",
        (creates(25_00), exports(), pays(25_00)),
        reverses(amount=10_00),
        transferred(10_00),
        [("reversal", 10_00, 0, 10_00)],
    ),
    (
        "14-3.10 of a partial payment",
        PARTLY,
        reverses(amount=39_99),
        transferred(94_99),
        [("reversal", 39_99, 0, 39_99)],
    ),
    (
        "14-3.10 the smallest part",
        PAID,
        reverses(amount=1),
        transferred(1),
        [("reversal", 1, 0, 1)],
    ),
    (
        "14-3.10 of a write-off",
        (*EXPORTED, writes_off(95_00)),
        reverses(amount=5_00),
        transferred(5_00),
        [("reversal", 5_00, 0, 5_00)],
    ),
    (
        "14-3.10 a second part",
        CHARGED_BACK,
        reverses(amount=30_00),
        transferred(60_00),
        [("reversal", 30_00, 0, 30_00)],
    ),
    (
        "14-3.10 a second part of all that is left",
        CHARGED_BACK,
        reverses(amount=65_00),
        transferred(95_00),
        [("reversal", 65_00, 0, 65_00)],
    ),
    (
        "14-3.10 without an amount: what is left",
        CHARGED_BACK,
        reverses(),
        transferred(95_00),
        [("reversal", 65_00, 0, 65_00)],
    ),
    (
        "14-3.10 of a credit's refund: the other sign",
        CREDITED,
        reverses(amount=8_00),
        transferred(-8_00),
        [("reversal", 8_00, 0, -8_00)],
    ),
    (
        "14-3.9 of a noted payment: noted, with the amount of the part",
        NOTED,
        reverses(amount=30_00),
        closed(),
        [("reversal_noted", 30_00, 0, 0)],
    ),
    (
        "14-3.9 what is left of a noted payment",
        (*NOTED, reverses(amount=30_00, payment_id="r0")),
        reverses(),
        closed(),
        [("reversal_noted", 65_00, 0, 0)],
    ),
    (
        "14-10 what is outstanding again is paid by a later payment",
        CHARGED_BACK,
        pays(30_00, payment_id="p2"),
        transferred(0),
        [("payment", 30_00, 0, -30_00)],
    ),
    (
        "14-12 more than what is outstanding again leaves an excess",
        CHARGED_BACK,
        pays(31_00, payment_id="p2"),
        transferred(0, active=-1_00),
        [("payment", 30_00, 0, -30_00), ("credit", -1_00, -1_00, 0)],
    ),
    (
        "14-13 what is outstanding again is written off",
        CHARGED_BACK,
        writes_off(30_00, payment_id="p2"),
        transferred(0),
        [("write_off", 30_00, 0, -30_00)],
    ),
)
def test_a_part_is_taken_back(
    history: Sequence[Step], event: Step, state: Now, posted: Sequence[Movement]
) -> None:
    ledger = Ledger(*history)
    done = ledger.take(event)
    assert [moved(transaction) for transaction in done.transactions] == posted
    assert now(ledger) == state
    assert done.rejections == ()
    sound(ledger.store)


def test_a_whole_reversal_of_an_older_release_is_understood() -> None:
    """It has set `reversed_by`, and kept no amount."""
    ledger = Ledger(*WHOLE_BEFORE)
    kept = replace(payment(ledger), reversed_amount=0)
    ledger.store.payments[kept.key] = kept
    check_not_applied(ledger, reverses(), "rejected:already_reversed")
    check_not_applied(ledger, reverses(amount=1, payment_id="r2"), "rejected:already_reversed")


def test_a_payment_counts_as_live_until_nothing_of_it_is_left() -> None:
    ledger = Ledger(*PAID)
    for amount, live in ((30_00, 1), (64_99, 1), (1, 0)):
        ledger.take(reverses(amount=amount, payment_id=f"r{amount}"))
        assert ledger.fine().payments_live == live
    assert outcome_of_event(ledger.take(refuses())) == "applied"


def test_a_noted_payment_counts_as_live_until_nothing_of_it_is_left() -> None:
    ledger = Ledger(*NOTED)
    ledger.take(reverses(amount=94_99))
    assert ledger.fine().payments_live == 1
    ledger.take(reverses(payment_id="r2"))
    assert ledger.fine().payments_live == 0
    assert outcome_of_event(ledger.take(refuses())) == "applied"


def test_a_payment_knows_how_much_of_it_was_reversed_and_what_left_nothing() -> None:
    ledger = Ledger(*CHARGED_BACK)
    assert (payment(ledger).reversed_amount, payment(ledger).reversed_by) == (30_00, None)
    ledger.take(reverses())
    assert (payment(ledger).reversed_amount, payment(ledger).reversed_by) == (95_00, "r1")
    assert (payment(ledger, "r0").applied, payment(ledger, "r1").applied) == (30_00, 65_00)


def test_parts_of_two_payments_of_a_fine_do_not_mix() -> None:
    ledger = Ledger(*PARTLY, pays(55_00, payment_id="p2"))
    ledger.take(reverses("p1", amount=10_00))
    ledger.take(reverses("p2", amount=55_00, payment_id="r2"))
    assert now(ledger) == transferred(65_00)
    assert (payment(ledger, "p1").reversed_by, payment(ledger, "p2").reversed_by) == (None, "r2")
    assert ledger.fine().payments_live == 1


def test_parts_that_came_before_their_payment_are_taken_back_in_their_order() -> None:
    parts = [reverses(amount=amount, payment_id=f"r{amount}") for amount in (60_00, 50_00, 35_00)]
    ledger = Ledger(*EXPORTED, *parts, reverses(payment_id="rest"), pays(95_00))
    assert ledger.reasons() == ["amount_mismatch", "already_reversed"]
    assert ledger.payment_state("r3500") == "applied"
    assert now(ledger) == transferred(95_00)
    assert ledger.waits() == {}


def test_a_part_waits_behind_a_parked_payment() -> None:
    ledger = Ledger(*FINE, pays(95_00), reverses(amount=30_00))
    assert ledger.waits() == {"p1": "not_exported", "r1": "unknown_original"}
    ledger.take(exports())
    assert now(ledger) == transferred(30_00)


def test_a_part_that_is_outstanding_again_counts_for_the_maximum_of_an_excess() -> None:
    """Ten times what was outstanding before the payment: 30.00 here, not the fine's 95.00."""
    ledger = Ledger(*CHARGED_BACK, pays(30_00 + 300_01, payment_id="p2"))
    assert ledger.waits() == {"p2": "overpaid_held"}
    ledger = Ledger(*CHARGED_BACK, pays(30_00 + 300_00, payment_id="p2"))
    assert ledger.waits() == {}


def test_the_credit_of_a_later_excess_falls_with_its_own_payment_alone() -> None:
    ledger = Ledger(*CHARGED_BACK, pays(40_00, payment_id="p2"))
    ledger.take(reverses("p2", payment_id="r2"))
    assert now(ledger) == transferred(30_00)
    ledger.take(reverses("p1", payment_id="r3"))
    assert now(ledger) == transferred(95_00)


def test_the_excess_credit_stays_while_another_payment_is_reversed_in_part() -> None:
    ledger = Ledger(*EXPORTED, pays(90_00, payment_id="p0"), pays(10_00))
    ledger.take(reverses("p0", amount=40_00))
    assert ledger.fine(CREDIT_ID).remaining == -5_00
    assert now(ledger) == transferred(40_00, active=-5_00)
