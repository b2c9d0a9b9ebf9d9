"""The bursar's money on a fine, row by row (rules.md, 3, rows 2 to 13 and 15)."""

from collections.abc import Sequence
from dataclasses import replace

from service.core.ledger import PaymentRef, SourceKey
from service.core.payments import excess_credit_id
from service.core.words import PaymentKind
from tests.support.bursar import pays, refuses, reverses, says, tells, writes_off
from tests.support.given import (
    BOTH,
    ERP,
    EXPORTED,
    FINE,
    HOLDS,
    LOST,
    LOST_TRANSFERS,
    REJECTS,
    UNI,
    at,
    creates,
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
    outcome_of_event,
    transferred,
)

CREDIT = (creates(-20_00), exports())


LOST_CLOSED = (creates(95_00, type_=LOST), exports())


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
    history: Sequence[Step], event: Step, state: Now, posted: Sequence[Movement]
) -> None:
    ledger = Ledger(*history)
    outcome = "noted" if posted[0][0].endswith("_noted") else "applied"
    done = check_applied(ledger, event, state, posted, outcome)
    assert {line.comment for line in done.transactions} == {"Bursar"}
    assert ledger.waits() == {}


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


def test_terms_are_those_of_the_fines_own_export() -> None:
    # The same profile, changed between two exports: each fine keeps what it left under.
    changed = replace(BOTH, overpayment=REJECTS.overpayment)
    ledger = Ledger(*EXPORTED, creates(95_00, "F2"), exports("F2", terms=changed, batch=2))
    assert outcome_of_event(ledger.take(pays(95_01))) == "applied"
    assert outcome_of_event(ledger.take(pays(95_01, "F2", payment_id="p2"))) == "rejected:overpaid"
