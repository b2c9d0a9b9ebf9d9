"""Fines appear, change in the library, leave for the bursar (rules.md, 2, 2b and 4)."""

from collections.abc import Sequence
from dataclasses import replace

from service.core import rules
from service.core.terms import Terms
from service.core.words import Kind, LostRule
from tests.support.bursar import pays, refuses
from tests.support.given import (
    BOTH,
    CLOSES_LOANS,
    FINE,
    LOST,
    LOST_FINE,
    LOST_TRANSFERS,
    ONLY,
    UNI,
    at,
    creates,
    desk_pays,
    disputes,
    exports,
    restores,
    table,
)
from tests.support.in_memory import (
    Ledger,
    Movement,
    Now,
    Step,
    check_applied,
    closed,
    open_,
    outcome_of_event,
    transferred,
)

CREDIT = (creates(-20_00),)


LOST_ITEM = (creates(95_00, type_=LOST),)


DISPUTED = (*FINE, disputes(change_id="c0"))


@table(
    "history event state posted",
    ("2 a fine created", (), creates(95_00), open_(95_00), ("fine", 95_00, 95_00, 0)),
    ("2 a credit created", (), creates(-20_00), open_(-20_00), ("credit", -20_00, -20_00, 0)),
    (
        "2 exported, export-only profile",
        FINE,
        exports(terms=ONLY),
        closed(),
        ("export", 95_00, -95_00, 0),
    ),
    (
        "2 exported, export+import profile",
        FINE,
        exports(),
        transferred(95_00),
        ("export_and_paid", 95_00, -95_00, 95_00),
    ),
    (
        "2 payment imported, covers what is outstanding",
        (*FINE, exports()),
        pays(95_00),
        transferred(0),
        ("payment", 95_00, 0, -95_00),
    ),
    (
        "2 lost type exported, export+import profile",
        LOST_ITEM,
        exports(),
        closed(),
        ("export", 95_00, -95_00, 0),
    ),
    (
        "2 lost type exported, export-only profile",
        LOST_ITEM,
        exports(terms=ONLY),
        closed(),
        ("export", 95_00, -95_00, 0),
    ),
    (
        "2 lost item fine exported",
        (creates(95_00, type_=LOST_FINE),),
        exports(),
        closed(),
        ("export", 95_00, -95_00, 0),
    ),
    (
        "2 a credit exported, export+import profile",
        CREDIT,
        exports(),
        transferred(-20_00),
        ("export_and_paid", -20_00, 20_00, -20_00),
    ),
    (
        "2 a credit exported, export-only profile",
        CREDIT,
        exports(terms=ONLY),
        closed(),
        ("export", -20_00, 20_00, 0),
    ),
    (
        "4 lost_fines transfer, export+import profile",
        LOST_ITEM,
        exports(terms=LOST_TRANSFERS),
        transferred(95_00),
        ("export_and_paid", 95_00, -95_00, 95_00),
    ),
    (
        "4 lost_fines transfer, export-only profile",
        LOST_ITEM,
        exports(terms=replace(ONLY, lost=LostRule.TRANSFER)),
        closed(),
        ("export", 95_00, -95_00, 0),
    ),
    (
        "4 a type the profile does not call lost",
        LOST_ITEM,
        exports(terms=replace(BOTH, lost_types=frozenset({"BINDING"}))),
        transferred(95_00),
        ("export_and_paid", 95_00, -95_00, 95_00),
    ),
    (
        "4 a type the profile calls lost",
        (creates(5_00, type_="BINDING"),),
        exports(terms=replace(BOTH, lost_types=frozenset({"BINDING"}))),
        closed(),
        ("export", 5_00, -5_00, 0),
    ),
    (
        "2b what is exported is what remains",
        (*FINE, desk_pays(30_00)),
        exports(),
        transferred(65_00),
        ("export_and_paid", 65_00, -65_00, 65_00),
    ),
    (
        "2b restored and then exported",
        (*DISPUTED, restores()),
        exports(),
        transferred(95_00),
        ("export_and_paid", 95_00, -95_00, 95_00),
    ),
)
def test_the_seeds_table(
    history: Sequence[Step], event: Step, state: Now, posted: Movement
) -> None:
    check_applied(Ledger(*history), event, state, [posted])


def test_a_payment_says_bursar_and_an_export_says_nothing() -> None:
    ledger = Ledger()
    comments = [ledger.take(step).transactions[0].comment for step in (*FINE, exports(), pays(1))]
    assert comments == [None, None, "Bursar"]


def test_the_newest_snapshot_of_a_patron_wins_whatever_came_last() -> None:
    ledger = Ledger(creates(1_00, snapshot_minute=5, name="Roe, Jane"))
    ledger.take(creates(2_00, "F2", snapshot_minute=3, name="Doe, Jane"))
    assert ledger.store.patrons[UNI, "P1"].name == "Roe, Jane"
    assert (
        outcome_of_event(ledger.take(creates(1_00, snapshot_minute=9, name="Poe, Jane")))
        == "repeat"
    )
    assert ledger.store.patrons[UNI, "P1"].name == "Poe, Jane"
    ledger.take(creates(1_01, snapshot_minute=10, name="Loe, Jane"))
    assert ledger.reasons() == ["fine_conflict"]
    assert ledger.store.patrons[UNI, "P1"].name == "Poe, Jane"


def test_a_snapshot_of_the_future_counts_with_the_first_record_and_not_with_a_repeat() -> None:
    ledger = Ledger()
    early = replace(ledger.store.view(), recorded_at=at(5))
    ledger.store.write(rules.fold(early, [creates(1_00, snapshot_minute=9, name="Roe, Jane")]))
    assert ledger.store.patrons[UNI, "P1"].name == "Roe, Jane"
    late = replace(ledger.store.view(), recorded_at=at(8))
    repeat = rules.fold(late, [creates(1_00, snapshot_minute=11, name="Poe, Jane")])
    assert (repeat.outcomes, repeat.patrons.written) == ({"repeat": 1}, ())


@table(
    "terms kind loans",
    ("4 closes the loan, lost closes", CLOSES_LOANS, LOST, ["L1"]),
    (
        "4 closes the loan, lost transfers",
        replace(CLOSES_LOANS, lost=LostRule.TRANSFER),
        LOST,
        ["L1"],
    ),
    ("4 closes the loan, export-only", replace(ONLY, close_paid_lost_loan=True), LOST_FINE, ["L1"]),
    ("4 default: no loan is closed", BOTH, LOST, []),
    ("4 not a lost type", CLOSES_LOANS, "OVERDUEFINE", []),
)
def test_a_lost_fines_export_closes_its_loan(terms: Terms, kind: str, loans: list[str]) -> None:
    ledger = Ledger(creates(95_00, type_=kind, loan_id="L1"))
    done = ledger.take(exports(terms=terms))
    assert [closing.loan_id for closing in done.loans_closed] == loans
    for closing in done.loans_closed:
        assert (closing.fine_id, closing.patron_id, closing.batch_number) == ("F1", "P1", 1)
        assert closing.closed_at == at(20)


def test_a_lost_fine_without_a_loan_closes_none() -> None:
    ledger = Ledger(creates(95_00, type_=LOST))
    assert ledger.take(exports(terms=CLOSES_LOANS)).loans_closed == ()


def test_two_fines_of_one_loan_close_it_once() -> None:
    ledger = Ledger(
        creates(95_00, "F1", type_=LOST, loan_id="L1"),
        creates(5_00, "F2", type_=LOST_FINE, loan_id="L1"),
        creates(7_00, "F3", type_=LOST_FINE, loan_id="L1"),
    )
    first = ledger.take(exports("F1", "F2", terms=CLOSES_LOANS))
    second = ledger.take(exports("F3", terms=CLOSES_LOANS, batch=2))
    assert [closing.fine_id for closing in first.loans_closed] == ["F1"]
    assert second.loans_closed == ()


def test_a_refusal_does_not_take_back_a_closed_loan() -> None:
    ledger = Ledger(creates(95_00, type_=LOST, loan_id="L1"), exports(terms=CLOSES_LOANS))
    assert ledger.take(refuses()).loans_closed == ()
    assert ledger.take(exports(terms=CLOSES_LOANS, batch=2)).loans_closed == ()
    assert list(ledger.store.loans) == [(UNI, "L1")]


def test_labels_are_the_profiles_as_it_was_at_the_export() -> None:
    vendor = (
        (Kind.EXPORT, "Exported and Paid"),
        (Kind.EXPORT_AND_PAID, "Exported"),
        (Kind.PAYMENT, "Payment Imported"),
        (Kind.CREDIT, "Overpaid"),
        (Kind.EXPORT_REJECTED, "Sent back"),
    )
    ledger = Ledger(*FINE)
    labelled = replace(BOTH, labels=vendor)
    assert ledger.take(exports(terms=labelled)).transactions[0].label == "Exported"
    # Another fine leaves under other labels afterwards; the first keeps its own.
    ledger.take(creates(1_00, "F2"))
    assert ledger.take(exports("F2", batch=2)).transactions[0].label == "Exported and paid"
    labels = [line.label for line in ledger.take(pays(96_00)).transactions]
    assert labels == ["Payment Imported", "Overpaid"]
    ledger.take(creates(1_00, "F3"))
    only = replace(ONLY, labels=vendor)
    assert ledger.take(exports("F3", terms=only, batch=3)).transactions[0].label == (
        "Exported and Paid"
    )
    refused = ledger.take(refuses(batch=3, profile="ONLY", response_id="a3"))
    assert [line.label for line in refused.transactions] == ["Sent back"]


def test_every_kind_has_its_label_unless_a_profile_says_otherwise() -> None:
    assert {kind.value: BOTH.label(kind) for kind in Kind} == {
        "fine": "Fine",
        "credit": "Credit",
        "desk_payment": "Payment",
        "waiver": "Waive",
        "cancellation": "Cancel",
        "adjustment": "Adjust",
        "disputed": "Dispute",
        "restored": "Restore",
        "export": "Export",
        "export_and_paid": "Exported and paid",
        "payment": "Payment received",
        "write_off": "Written off",
        "reversal": "Payment reversed",
        "payment_noted": "Payment noted",
        "reversal_noted": "Reversal noted",
        "status_noted": "Status noted",
        "export_rejected": "Export rejected",
        "credit_cancelled": "Credit cancelled",
    }
