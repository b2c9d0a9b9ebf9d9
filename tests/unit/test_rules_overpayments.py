"""An overpayment becomes a credit, is rejected or is held (rules.md, 3, row 12)."""

from service.core.ledger import SourceKey
from service.core.payments import excess_credit_id
from tests.support.bursar import pays, tells
from tests.support.given import (
    ERP,
    EXPORTED,
    FINE,
    HOLDS,
    LIBRARY,
    REJECTS,
    UNI,
    at,
    creates,
    exports,
)
from tests.support.in_memory import Ledger, Now, now, transferred


def test_an_excess_becomes_a_credit_that_refers_to_its_fine() -> None:
    ledger = Ledger(creates(95_00, owner=LIBRARY), exports(), pays(100_00))
    key = SourceKey(UNI, ERP, "p1")
    # SHA-256 of "1234\nerp\np1", the first 32 hex digits, computed elsewhere.
    assert excess_credit_id(key) == "bb-99c1ffaff90cbfd6f80b3b38ca49f970"
    credit = ledger.fine(excess_credit_id(key))
    facts = credit.facts
    assert (facts.type, facts.amount, facts.currency) == ("CREDIT", -5_00, "USD")
    assert (facts.credit_of, facts.patron_id, facts.owner) == ("F1", "P1", LIBRARY)
    assert (facts.created_at, facts.comment, facts.exportable) == (at(30), "Bursar", True)
    assert now(ledger, facts.fine_id) == Now("Active", "active", -5_00, 0, -5_00, 0)


def test_an_excess_credit_is_exported_and_refunded_like_another() -> None:
    ledger = Ledger(*EXPORTED, pays(100_00))
    credit_id = excess_credit_id(SourceKey(UNI, ERP, "p1"))
    ledger.take(exports(credit_id, batch=2))
    assert now(ledger, credit_id) == transferred(-5_00)
    ledger.take(pays(5_00, credit_id, payment_id="p2"))
    assert now(ledger, credit_id) == transferred(0)
    assert now(ledger) == transferred(0)


def test_a_rejected_overpayment_moves_not_even_what_would_fit() -> None:
    ledger = Ledger(*FINE, exports(terms=REJECTS), pays(95_01))
    assert now(ledger) == transferred(95_00)
    assert ledger.fine().payments_live == 0
    assert ledger.payment_state() == "rejected"


def test_a_held_overpayment_moves_not_even_what_would_fit_and_is_not_tried_again() -> None:
    ledger = Ledger(*FINE, exports(terms=HOLDS), pays(95_01))
    assert now(ledger) == transferred(95_00)
    ledger.take(tells("invoiced"))
    ledger.store.fold(queues=[ledger.fine().facts.key, SourceKey(UNI, ERP, "p1")])
    assert ledger.waits() == {"p1": "overpaid_held"}
    assert ledger.payment_state() == "parked"
