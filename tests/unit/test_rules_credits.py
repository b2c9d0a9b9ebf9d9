"""A credit and its fine go to the bursar in the same way (rules.md, 5; row 9 for payments)."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from service.core.terms import Terms
from service.core.words import Kind
from tests.support.bursar import pays, refuses, tells, writes_off
from tests.support.given import (
    BOTH,
    LOST,
    LOST_TRANSFERS,
    ONLY,
    Export,
    creates,
    desk_pays,
    exports,
    table,
    waives,
)
from tests.support.in_memory import (
    Ledger,
    Movement,
    Step,
    moved,
    now,
    outcome_of_event,
)
from tests.support.view_store import sound

CREDIT = creates(-20_00, "C1", credit_of="F1")
LOST_FINE = creates(95_00, type_=LOST)
FOLLOWS = ("export", -20_00, 20_00, 0)
TRANSFERS = ("export_and_paid", -20_00, 20_00, -20_00)


def export_of_credit(terms: Terms) -> Export:
    return exports("C1", terms=terms, batch=2)


@table(
    "history terms posted",
    ("5.18 its fine only exported", (creates(95_00), CREDIT, exports(terms=ONLY)), BOTH, FOLLOWS),
    ("5.18 its fine lost", (LOST_FINE, CREDIT, exports()), BOTH, FOLLOWS),
    ("5.18 under a profile that only exports", (LOST_FINE, CREDIT, exports()), ONLY, FOLLOWS),
    ("5.18 created after the export", (LOST_FINE, exports(), CREDIT), BOTH, FOLLOWS),
    (
        "5.18 a payment of its fine was noted",
        (LOST_FINE, CREDIT, exports(), pays(95_00)),
        BOTH,
        FOLLOWS,
    ),
    ("5 its fine is at the bursar", (creates(95_00), CREDIT, exports()), BOTH, TRANSFERS),
    (
        "5 its fine was lost and is transferred",
        (LOST_FINE, CREDIT, exports(terms=LOST_TRANSFERS)),
        BOTH,
        TRANSFERS,
    ),
    (
        "5 its fine was paid in the library",
        (creates(95_00), CREDIT, desk_pays(95_00)),
        BOTH,
        TRANSFERS,
    ),
    ("5 its fine is not known", (CREDIT,), BOTH, TRANSFERS),
    (
        "5 its fine is of another patron",
        (creates(95_00, patron="P2"), CREDIT, exports(terms=ONLY)),
        BOTH,
        TRANSFERS,
    ),
    (
        "5 its fine is of another currency",
        (creates(95_00, currency="EUR"), CREDIT, exports(terms=ONLY, currency="EUR")),
        BOTH,
        TRANSFERS,
    ),
    (
        "5 its fine is itself a credit",
        (creates(-95_00), CREDIT, exports(terms=ONLY)),
        BOTH,
        TRANSFERS,
    ),
    (
        "5 it names no fine",
        (LOST_FINE, creates(-20_00, "C1"), exports()),
        BOTH,
        TRANSFERS,
    ),
)
def test_a_credit_is_exported_as_its_fine_was(
    history: Sequence[Step], terms: Terms, posted: Movement
) -> None:
    ledger = Ledger(*history)
    done = ledger.take(export_of_credit(terms))
    assert [moved(line) for line in done.transactions] == [posted]
    credit = ledger.fine("C1")
    is_closed = posted is FOLLOWS
    assert (credit.status, credit.considered) == (
        ("Closed", "closed") if is_closed else ("Transferred", "active")
    )
    assert (credit.remaining, credit.outstanding) == (0, 0 if is_closed else -20_00)
    sound(ledger.store)


def test_a_fine_that_closes_in_the_same_batch_counts() -> None:
    ledger = Ledger(LOST_FINE, CREDIT, exports("F1", "C1"))
    assert now(ledger, "C1").status == "Closed"
    assert (ledger.account().active, ledger.account().transferred) == (0, 0)


FOLLOWED = (LOST_FINE, CREDIT, exports("F1", "C1"))


@table(
    "event posted",
    ("9 a payment of a credit that followed", pays(20_00, "C1"), ("payment_noted", 20_00, 0, 0)),
    ("9 more than it was", pays(99_00, "C1"), ("payment_noted", 99_00, 0, 0)),
    ("9 a write-off of it", writes_off(5_00, "C1"), ("payment_noted", 5_00, 0, 0)),
    ("9 a status of it", tells("refunded", "C1"), ("status_noted", 0, 0, 0)),
)
def test_what_the_bursar_reports_on_a_credit_that_followed_is_noted(
    event: Step, posted: Movement
) -> None:
    done = Ledger(*FOLLOWED).take(event)
    assert outcome_of_event(done) == "noted"
    assert [moved(line) for line in done.transactions] == [posted]


def test_a_payment_of_a_credit_of_a_profile_that_only_exports_is_rejected() -> None:
    ledger = Ledger(LOST_FINE, CREDIT, exports(), export_of_credit(ONLY))
    assert outcome_of_event(ledger.take(pays(20_00, "C1"))) == "rejected:import_not_active"


REFUSED = (*FOLLOWED, refuses("1001"))


@pytest.mark.parametrize("terms", [BOTH, LOST_TRANSFERS, ONLY])
def test_a_fine_whose_credit_followed_it_closes_again(terms: Terms) -> None:
    """Row 5.19: otherwise the credit would be missing from what the bursar's balance has of it."""
    ledger = Ledger(*REFUSED)
    done = ledger.take(exports(terms=terms, batch=2))
    assert [moved(line) for line in done.transactions] == [("export", 95_00, -95_00, 0)]
    again = ledger.take(refuses("2001", batch=2, profile=terms.profile, response_id="a2"))
    assert outcome_of_event(again) == "applied"
    done = ledger.take(exports(terms=LOST_TRANSFERS, batch=3))
    assert [moved(line) for line in done.transactions] == [("export", 95_00, -95_00, 0)]
    sound(ledger.store)


def test_once_the_line_of_the_credit_is_refused_too_the_fine_follows_its_profile() -> None:
    ledger = Ledger(*REFUSED, refuses("1002", response_id="a2"))
    done = ledger.take(exports("F1", "C1", terms=LOST_TRANSFERS, batch=2))
    assert [moved(line) for line in done.transactions] == [
        ("export_and_paid", 95_00, -95_00, 95_00),
        ("export_and_paid", -20_00, 20_00, -20_00),
    ]


def test_a_credit_that_was_exported_before_its_fine_was_known_binds_nothing() -> None:
    early = (CREDIT, exports("C1", terms=ONLY), creates(95_00))
    ledger = Ledger(*early, exports("F1", batch=2))
    assert now(ledger).status == "Transferred"
    ledger = Ledger(
        *early, exports("F1", batch=2), refuses("2001", batch=2), exports("F1", batch=3)
    )
    assert now(ledger).status == "Transferred"


TRANSFERRED = (creates(95_00), CREDIT, exports("F1", "C1"))
ANOTHERS = (creates(95_00), creates(-20_00, "C1", patron="P2", credit_of="F1"), exports("F1", "C1"))


@table(
    "history event outcome",
    ("5.15 its credit is at the bursar", TRANSFERRED, refuses("1001"), "rejected:already_paid"),
    ("5.15 both in one answer", TRANSFERRED, refuses("1001", "1002"), "applied"),
    ("5.14 the whole batch", TRANSFERRED, refuses(), "applied"),
    ("5.15 the credit alone", TRANSFERRED, refuses("1002"), "applied"),
    (
        "5.15 the credit was refused before",
        (*TRANSFERRED, refuses("1002", response_id="a0")),
        refuses("1001"),
        "applied",
    ),
    (
        "5.14 its credit is in another batch",
        (creates(95_00), CREDIT, exports("F1"), exports("C1", batch=2)),
        refuses(),
        "rejected:already_paid",
    ),
    (
        "5.15 the credit was refunded",
        (*TRANSFERRED, pays(20_00, "C1")),
        refuses("1001"),
        "rejected:already_paid",
    ),
    ("5.15 its credit followed it", FOLLOWED, refuses("1001"), "applied"),
    (
        "5.15 its credit is not exported",
        (creates(95_00), CREDIT, exports("F1")),
        refuses("1001"),
        "applied",
    ),
    ("5.15 a credit of another patron", ANOTHERS, refuses("1001"), "applied"),
    (
        "5.15 a debit that names the fine is no credit",
        (creates(95_00), creates(5_00, "F2", credit_of="F1"), exports("F1", "F2")),
        refuses("1001"),
        "applied",
    ),
    (
        "5.15 a credit that the library waived in part",
        (creates(95_00), CREDIT, waives(5_00, "C1"), exports("F1", "C1")),
        refuses("1001"),
        "rejected:already_paid",
    ),
)
def test_a_line_is_not_refused_while_the_bursar_has_a_credit_of_its_fine(
    history: Sequence[Step], event: Step, outcome: str
) -> None:
    ledger = Ledger(*history)
    assert outcome_of_event(ledger.take(event)) == outcome
    sound(ledger.store)


def test_the_label_is_that_of_the_credits_own_terms() -> None:
    labels = ((Kind.EXPORT, "Exported"),)
    done = Ledger(LOST_FINE, CREDIT, exports()).take(export_of_credit(replace(BOTH, labels=labels)))
    assert [line.label for line in done.transactions] == ["Exported"]
