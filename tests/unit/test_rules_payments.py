"""The bursar's money on a fine, row by row (rules.md, 3, rows 2 to 13 and 15)."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from types import FrameType

import pytest

from service.core.events import FineCreated
from service.core.ledger import PaymentRef, SourceKey
from service.core.payments import excess_credit_id
from service.core.settling import decide
from service.core.words import PaymentKind
from tests.support.bursar import pays, refuses, reverses, says, tells, writes_off
from tests.support.given import (
    BOTH,
    ERP,
    HOLDS,
    LIBRARY,
    LOST,
    LOST_TRANSFERS,
    ONLY,
    REJECTS,
    UNI,
    at,
    cancels,
    creates,
    desk_pays,
    disputes,
    exports,
    table,
)
from tests.support.in_memory import (
    Ledger,
    Now,
    StaleRead,
    Step,
    closed,
    moved,
    now,
    outcome_of_event,
    transferred,
)
from tests.support.view_store import Store, sound

FINE = (creates(95_00),)
EXPORTED = (*FINE, exports())
CREDIT = (creates(-20_00), exports())
LOST_CLOSED = (creates(95_00, type_=LOST), exports())
CANCELLED = (*FINE, cancels())
REFUSED = (*EXPORTED, refuses())
P0 = "p0"


@table(
    "history event state posted",
    (
        "9 a status on a transferred fine is noted",
        EXPORTED,
        tells("invoiced"),
        transferred(95_00),
        [("status_noted", 0, 0, 0)],
    ),
    (
        "9 a status on a paid fine is noted, it stays closed",
        (*EXPORTED, pays(95_00)),
        tells("storno"),
        transferred(0),
        [("status_noted", 0, 0, 0)],
    ),
    (
        "9 a status on a lost fine that closed on export",
        LOST_CLOSED,
        tells("invoiced"),
        closed(),
        [("status_noted", 0, 0, 0)],
    ),
    (
        "9 a payment for a lost fine that closed on export",
        LOST_CLOSED,
        pays(95_00),
        closed(),
        [("payment_noted", 95_00, 0, 0)],
    ),
    (
        "9 more than the lost fine was",
        LOST_CLOSED,
        pays(500_00),
        closed(),
        [("payment_noted", 500_00, 0, 0)],
    ),
    (
        "9 a write-off of a lost fine that closed on export",
        LOST_CLOSED,
        writes_off(95_00),
        closed(),
        [("payment_noted", 95_00, 0, 0)],
    ),
    (
        "9 a lost fine that was transferred is paid like another",
        (creates(95_00, type_=LOST), exports(terms=LOST_TRANSFERS)),
        pays(95_00),
        transferred(0),
        [("payment", 95_00, 0, -95_00)],
    ),
    (
        "10 partial",
        EXPORTED,
        pays(40_00),
        transferred(55_00),
        [("payment", 40_00, 0, -40_00)],
    ),
    (
        "10 partial, by the bursar's id",
        EXPORTED,
        pays(40_00, None, line="1001"),
        transferred(55_00),
        [("payment", 40_00, 0, -40_00)],
    ),
    (
        "10 partial, by both references",
        EXPORTED,
        pays(40_00, line="1001"),
        transferred(55_00),
        [("payment", 40_00, 0, -40_00)],
    ),
    (
        "4 an unknown bursar id beside a known fine id",
        EXPORTED,
        pays(40_00, line="7777"),
        transferred(55_00),
        [("payment", 40_00, 0, -40_00)],
    ),
    (
        "11 full",
        EXPORTED,
        pays(95_00),
        transferred(0),
        [("payment", 95_00, 0, -95_00)],
    ),
    (
        "11 full, what an earlier one left",
        (*EXPORTED, pays(40_00, payment_id=P0)),
        pays(55_00),
        transferred(0),
        [("payment", 55_00, 0, -55_00)],
    ),
    (
        "12 one cent over: credit is the default",
        EXPORTED,
        pays(95_01),
        transferred(0, active=-1),
        [("payment", 95_00, 0, -95_00), ("credit", -1, -1, 0)],
    ),
    (
        "12 paid already: all of it is excess",
        (*EXPORTED, pays(95_00, payment_id=P0)),
        pays(10_00),
        transferred(0, active=-10_00),
        [("credit", -10_00, -10_00, 0)],
    ),
    (
        "12 exact under a profile that rejects excess",
        (*FINE, exports(terms=REJECTS)),
        pays(95_00),
        transferred(0),
        [("payment", 95_00, 0, -95_00)],
    ),
    (
        "12 exact under a profile that holds excess",
        (*FINE, exports(terms=HOLDS)),
        pays(95_00),
        transferred(0),
        [("payment", 95_00, 0, -95_00)],
    ),
    (
        "13 written off in part",
        EXPORTED,
        writes_off(40_00),
        transferred(55_00),
        [("write_off", 40_00, 0, -40_00)],
    ),
    (
        "13 written off in full",
        EXPORTED,
        writes_off(95_00),
        transferred(0),
        [("write_off", 95_00, 0, -95_00)],
    ),
    (
        "15 a credit refunded in part: the other sign",
        CREDIT,
        pays(5_00),
        transferred(-15_00),
        [("payment", 5_00, 0, 5_00)],
    ),
    (
        "15 a credit refunded in full",
        CREDIT,
        pays(20_00),
        transferred(0),
        [("payment", 20_00, 0, 20_00)],
    ),
    (
        "15 a credit written off in part",
        CREDIT,
        writes_off(5_00),
        transferred(-15_00),
        [("write_off", 5_00, 0, 5_00)],
    ),
    (
        "5 an old bursar id still means the fine after it was exported anew",
        (*REFUSED, exports(batch=2)),
        pays(95_00, None, line="1001"),
        transferred(0),
        [("payment", 95_00, 0, -95_00)],
    ),
)
def test_what_a_payment_does(
    history: Sequence[Step], event: Step, state: Now, posted: Sequence[StaleRead]
) -> None:
    ledger = Ledger(*history)
    done = ledger.take(event)
    assert outcome_of_event(done) == ("noted" if posted[0][0].endswith("_noted") else "applied")
    assert [moved(line) for line in done.transactions] == posted
    assert {line.comment for line in done.transactions} == {"Bursar"}
    assert now(ledger) == state
    assert done.rejections == ()
    assert ledger.waits() == {}
    sound(ledger.store)


TWO = (*EXPORTED, creates(5_00, "F2"))
EUR_FINE = (creates(95_00, currency="EUR"),)


@table(
    "history event outcome",
    ("2 repeat", (*EXPORTED, pays(40_00)), pays(40_00), "repeat"),
    ("2 repeat of a parked one", (pays(40_00),), pays(40_00), "repeat"),
    ("2 repeat of a rejected one", (pays(1, None, line="7"),), pays(1, None, line="7"), "repeat"),
    ("3 other amount", (*EXPORTED, pays(40_00)), pays(41_00), "rejected:payment_conflict"),
    ("3 other fine", (*TWO, pays(1_00)), pays(1_00, "F2"), "rejected:payment_conflict"),
    ("3 other content than a parked one", (pays(1),), pays(2), "rejected:payment_conflict"),
    (
        "3 other content than a rejected one",
        (pays(1, None, line="7"),),
        pays(1),
        "rejected:payment_conflict",
    ),
    (
        "3 a payment known, now as a write-off",
        (*EXPORTED, pays(40_00)),
        writes_off(40_00),
        "rejected:payment_conflict",
    ),
    ("4 an unknown fine id", (), pays(40_00), "parked:unknown_fine"),
    ("4 both unknown", (), pays(40_00, line="1001"), "parked:unknown_fine"),
    ("4 a status for an unknown fine id", (), tells("invoiced"), "parked:unknown_fine"),
    ("4 an unknown bursar id alone", EXPORTED, pays(1, None, line="7"), "rejected:unknown_line"),
    ("5 two known fines", TWO, pays(1, "F2", line="1001"), "rejected:reference_mismatch"),
    ("5 a fine id unknown yet", TWO, pays(1, "F9", line="1001"), "rejected:reference_mismatch"),
    (
        "5 before 6",
        TWO,
        pays(1, "F2", line="1001", currency="EUR"),
        "rejected:reference_mismatch",
    ),
    ("6 other currency", EXPORTED, pays(1, currency="EUR"), "rejected:currency_mismatch"),
    ("6 before 7", FINE, pays(1, currency="EUR"), "rejected:currency_mismatch"),
    (
        "6 before 8",
        (*FINE, exports(terms=ONLY)),
        pays(1, currency="EUR"),
        "rejected:currency_mismatch",
    ),
    ("6 before not_live", CANCELLED, pays(1, currency="EUR"), "rejected:currency_mismatch"),
    ("7 Active", FINE, pays(95_00), "parked:not_exported"),
    ("7 Active: a write-off", FINE, writes_off(95_00), "parked:not_exported"),
    ("7 Active: a status", FINE, tells("invoiced"), "parked:not_exported"),
    ("7 In dispute", (*FINE, disputes()), pays(95_00), "parked:not_exported"),
    ("7 its line was refused", REFUSED, pays(95_00), "parked:not_exported"),
    (
        "7 its line was refused, by the old bursar id",
        REFUSED,
        pays(95_00, None, line="1001"),
        "parked:not_exported",
    ),
    (
        "8 export-only",
        (*FINE, exports(terms=ONLY)),
        pays(95_00),
        "rejected:import_not_active",
    ),
    (
        "8 export-only, lost",
        (creates(95_00, type_=LOST), exports(terms=ONLY)),
        pays(95_00),
        "rejected:import_not_active",
    ),
    (
        "8 export-only, a status: before 9",
        (*FINE, exports(terms=ONLY)),
        tells("invoiced"),
        "rejected:import_not_active",
    ),
    (
        "8 export-only, a write-off beyond it: before 13",
        (*FINE, exports(terms=ONLY)),
        writes_off(99_00),
        "rejected:import_not_active",
    ),
    ("8 closed in the library", CANCELLED, pays(95_00), "rejected:not_live"),
    ("8 closed in the library, a status", CANCELLED, tells("paid"), "rejected:not_live"),
    (
        "8 refused and then closed in the library",
        (*REFUSED, desk_pays(95_00)),
        pays(95_00),
        "rejected:not_live",
    ),
    (
        "12 one cent over, excess rejected",
        (*FINE, exports(terms=REJECTS)),
        pays(95_01),
        "rejected:overpaid",
    ),
    (
        "12 nothing outstanding, excess rejected",
        (*FINE, exports(terms=REJECTS), pays(95_00, payment_id=P0)),
        pays(1),
        "rejected:overpaid",
    ),
    (
        "12 one cent over, excess held",
        (*FINE, exports(terms=HOLDS)),
        pays(95_01),
        "parked:overpaid_held",
    ),
    ("13 one cent over", EXPORTED, writes_off(95_01), "rejected:exceeds_outstanding"),
    (
        "13 one cent over, excess held",
        (*FINE, exports(terms=HOLDS)),
        writes_off(95_01),
        "rejected:exceeds_outstanding",
    ),
    (
        "13 one cent over, excess rejected",
        (*FINE, exports(terms=REJECTS)),
        writes_off(95_01),
        "rejected:exceeds_outstanding",
    ),
    (
        "13 nothing outstanding",
        (*EXPORTED, pays(95_00, payment_id=P0)),
        writes_off(1),
        "rejected:exceeds_outstanding",
    ),
    ("15 more than the credit", CREDIT, pays(20_01), "rejected:exceeds_outstanding"),
    (
        "15 more than the credit, excess held",
        (creates(-20_00), exports(terms=HOLDS)),
        pays(20_01),
        "rejected:exceeds_outstanding",
    ),
    (
        "15 more than the credit, excess rejected",
        (creates(-20_00), exports(terms=REJECTS)),
        pays(20_01),
        "rejected:exceeds_outstanding",
    ),
    (
        "15 an export-only credit",
        (creates(-20_00), exports(terms=ONLY)),
        pays(20_00),
        "rejected:import_not_active",
    ),
)
def test_a_payment_that_does_not_apply_moves_nothing(
    history: Sequence[Step], event: Step, outcome: str
) -> None:
    ledger = Ledger(*history)
    before = ledger.store.copy()
    done = ledger.take(event)
    assert outcome_of_event(done) == outcome
    assert done.transactions == ()
    assert ledger.store.accounts == before.accounts
    assert ledger.store.fines == before.fines
    assert ledger.store.lines == before.lines
    assert len(ledger.reasons()) - len(before.rejections) == outcome.startswith("rejected")
    assert len(ledger.waits()) - len(before.parked) == outcome.startswith("parked")


def test_a_rejected_record_is_kept_with_its_bytes_and_names_no_value() -> None:
    ledger = Ledger(*EXPORTED)
    event = pays(1, currency="EUR")
    refused = ledger.take(event).rejections
    assert [(one.reason.value, one.origin, one.institution_id) for one in refused] == [
        ("currency_mismatch", event.origin, UNI)
    ]
    assert refused[0].detail == "currency: is not the fine's"


def test_a_payment_is_remembered_with_what_it_did() -> None:
    ledger = Ledger(*EXPORTED, pays(95_01, None, line="1001"))
    kept = ledger.store.payments[SourceKey(UNI, ERP, "p1")]
    assert (kept.kind, kept.state.value, kept.amount, kept.currency) == (
        PaymentKind.PAYMENT,
        "applied",
        95_01,
        "USD",
    )
    assert (kept.fine_id, kept.bursar_transaction_id, kept.paid_at) == ("F1", "1001", at(30))
    assert (kept.applied, kept.excess, kept.credit_id) == (
        95_00,
        1,
        excess_credit_id(SourceKey(UNI, ERP, "p1")),
    )
    assert (kept.reversed_by, kept.reverses, kept.reason) == (None, None, None)


def test_a_noted_and_a_rejected_payment_are_remembered_as_such() -> None:
    ledger = Ledger(*LOST_CLOSED, pays(95_00), pays(1, currency="EUR", payment_id="p2"))
    noted = ledger.store.payments[SourceKey(UNI, ERP, "p1")]
    assert (noted.state.value, noted.applied, noted.excess) == ("noted", 0, 0)
    rejected = ledger.store.payments[SourceKey(UNI, ERP, "p2")]
    assert (rejected.state.value, rejected.reason) == ("rejected", "currency_mismatch")


def test_a_payment_names_its_cause_on_the_transaction() -> None:
    ledger = Ledger(*EXPORTED)
    event = says(PaymentKind.PAYMENT, 1, status_code="paid", comment="counter 3")
    line = ledger.take(event).transactions[0]
    assert line.cause == PaymentRef("erp", "p1", None, "paid", "counter 3")
    assert (line.comment, line.occurred_at) == ("Bursar", at(30))


def test_the_latest_status_code_stays_on_the_fine() -> None:
    ledger = Ledger(*EXPORTED, tells("invoiced"))
    assert ledger.fine().status_code == "invoiced"
    ledger.take(pays(1, status_code="part_paid"))
    assert ledger.fine().status_code == "part_paid"
    ledger.take(pays(1, payment_id="p2"))
    assert ledger.fine().status_code == "part_paid"
    ledger.take(reverses("p2", status_code="storno"))
    assert ledger.fine().status_code == "storno"
    ledger.take(pays(1, payment_id="p3", currency="EUR", status_code="lost"))
    assert ledger.fine().status_code == "storno"


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


def test_terms_are_those_of_the_fines_own_export() -> None:
    # The same profile, changed between two exports: each fine keeps what it left under.
    changed = replace(BOTH, overpayment=REJECTS.overpayment)
    ledger = Ledger(*EXPORTED, creates(95_00, "F2"), exports("F2", terms=changed, batch=2))
    assert outcome_of_event(ledger.take(pays(95_01))) == "applied"
    assert outcome_of_event(ledger.take(pays(95_01, "F2", payment_id="p2"))) == "rejected:overpaid"


def test_a_payment_ahead_of_its_fine_applies_in_the_commit_of_the_export() -> None:
    ledger = Ledger(pays(40_00))
    assert ledger.waits() == {"p1": "unknown_fine"}
    done = ledger.take(creates(95_00))
    assert [line.kind.value for line in done.transactions] == ["fine"]
    assert ledger.waits() == {"p1": "not_exported"}
    done = ledger.take(exports())
    assert [line.kind.value for line in done.transactions] == ["export_and_paid", "payment"]
    assert now(ledger) == transferred(55_00)
    assert ledger.waits() == {}
    assert done.outcomes == {"applied": 1, "unparked:not_exported": 1}


def test_a_payment_parked_on_a_refused_fine_applies_with_its_next_export() -> None:
    ledger = Ledger(*REFUSED, pays(40_00))
    done = ledger.take(exports(batch=2))
    assert [line.kind.value for line in done.transactions] == ["export_and_paid", "payment"]
    assert ledger.fine().bursar_transaction_id == "2001"


def test_parked_payments_apply_oldest_first() -> None:
    ledger = Ledger(*FINE, pays(90_00, payment_id="p1"), pays(10_00, payment_id="p2"))
    done = ledger.take(exports())
    assert [moved(line) for line in done.transactions[1:]] == [
        ("payment", 90_00, 0, -90_00),
        ("payment", 5_00, 0, -5_00),
        ("credit", -5_00, -5_00, 0),
    ]


@table(
    "export reason",
    ("8 the export turns out export-only", exports(terms=ONLY), "import_not_active"),
    ("12 the export's profile rejects excess", exports(terms=REJECTS), "overpaid"),
)
def test_a_parked_payment_may_be_rejected_when_its_turn_comes(export: Step, reason: str) -> None:
    ledger = Ledger(*FINE, pays(95_01))
    before = ledger.account()
    ledger.take(export)
    assert ledger.reasons() == [reason]
    assert ledger.waits() == {}
    assert ledger.payment_state() == "rejected"
    assert ledger.account().sequence == before.sequence + 1


def test_a_parked_payment_is_rejected_when_the_library_closes_its_fine() -> None:
    ledger = Ledger(*FINE, pays(95_00))
    ledger.take(cancels())
    assert ledger.reasons() == ["not_live"]
    assert ledger.waits() == {}


def test_a_payment_parked_on_an_unknown_fine_meets_the_currency_later() -> None:
    ledger = Ledger(pays(1, currency="EUR"), *FINE)
    assert ledger.reasons() == ["currency_mismatch"]
    assert ledger.waits() == {}


def test_a_payment_parked_on_two_unknown_references_meets_their_mismatch_later() -> None:
    ledger = Ledger(pays(1, "F2", line="1001"), *EXPORTED)
    assert ledger.waits() == {"p1": "unknown_fine"}
    ledger.take(creates(5_00, "F2"))
    assert ledger.reasons() == ["reference_mismatch"]


@pytest.mark.parametrize("ahead", [(), FINE], ids=["unknown fine", "not exported"])
def test_many_payments_that_wait_for_one_fine_are_not_decided_again_and_again(
    ahead: Sequence[FineCreated],
) -> None:
    """A long queue would hold its commit for ever."""
    count = 200
    store = Store()
    store.fold(*ahead)
    decided = 0

    def look(frame: FrameType, event: str, _: object) -> None:
        nonlocal decided
        decided += event == "call" and frame.f_code is decide.__code__

    waiting = [pays(1, "F1", payment_id=f"w{n}") for n in range(count)]
    before = sys.getprofile()
    sys.setprofile(look)
    try:
        store.fold(*waiting)
    finally:
        sys.setprofile(before)
    assert len(store.parked) == count
    assert decided <= count + 1
