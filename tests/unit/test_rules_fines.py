"""Fines appear, change in the library, leave for the bursar (rules.md, 2, 2b and 4)."""

from collections.abc import Sequence
from dataclasses import replace

from service.core.ledger import LibraryRef, Terms
from service.core.words import ChangeKind, Kind, LostRule
from tests.support.bursar import pays, refuses
from tests.support.given import (
    BOTH,
    CLOSES_LOANS,
    LIBRARY,
    LOST,
    LOST_FINE,
    LOST_TRANSFERS,
    ONLY,
    UNI,
    at,
    cancels,
    changes,
    creates,
    desk_pays,
    disputes,
    exports,
    restores,
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
CREDIT = (creates(-20_00),)
LOST_ITEM = (creates(95_00, type_=LOST),)
CANCELLED = (*FINE, cancels(change_id="c0"))
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
    history: Sequence[Step], event: Step, state: Now, posted: StaleRead
) -> None:
    ledger = Ledger(*history)
    done = ledger.take(event)
    assert outcome_of_event(done) == "applied"
    assert [moved(line) for line in done.transactions] == [posted]
    assert now(ledger) == state
    sound(ledger.store)


def test_a_payment_says_bursar_and_an_export_says_nothing() -> None:
    ledger = Ledger()
    comments = [ledger.take(step).transactions[0].comment for step in (*FINE, exports(), pays(1))]
    assert comments == [None, None, "Bursar"]


@table(
    "history event state posted",
    ("2b paid in part", FINE, desk_pays(30_00), open_(65_00), ("desk_payment", 30_00, -30_00, 0)),
    ("2b paid in full", FINE, desk_pays(95_00), closed(), ("desk_payment", 95_00, -95_00, 0)),
    ("2b waived in part", FINE, waives(1), open_(94_99), ("waiver", 1, -1, 0)),
    ("2b waived in full", FINE, waives(95_00), closed(), ("waiver", 95_00, -95_00, 0)),
    ("2b cancelled", FINE, cancels(), closed(), ("cancellation", 95_00, -95_00, 0)),
    (
        "2b cancelled: all that remains goes",
        (*FINE, desk_pays(30_00, change_id="c0")),
        cancels(),
        closed(),
        ("cancellation", 65_00, -65_00, 0),
    ),
    ("2b disputed", FINE, disputes(), open_(95_00, "In dispute"), ("disputed", 0, 0, 0)),
    ("2b restored", DISPUTED, restores(), open_(95_00), ("restored", 0, 0, 0)),
    (
        "2b paid in part while in dispute",
        DISPUTED,
        desk_pays(30_00),
        open_(65_00, "In dispute"),
        ("desk_payment", 30_00, -30_00, 0),
    ),
    (
        "2b waived in full while in dispute",
        DISPUTED,
        waives(95_00),
        closed(),
        ("waiver", 95_00, -95_00, 0),
    ),
    (
        "2b cancelled while in dispute",
        DISPUTED,
        cancels(),
        closed(),
        ("cancellation", 95_00, -95_00, 0),
    ),
    (
        "2b a credit refunded in part: the other sign",
        CREDIT,
        desk_pays(5_00),
        open_(-15_00),
        ("desk_payment", 5_00, 5_00, 0),
    ),
    (
        "2b a credit waived in full: the other sign",
        CREDIT,
        waives(20_00),
        closed(),
        ("waiver", 20_00, 20_00, 0),
    ),
    (
        "2b a credit cancelled: the other sign",
        CREDIT,
        cancels(),
        closed(),
        ("cancellation", 20_00, 20_00, 0),
    ),
    (
        "2b a refused fine is the library's again",
        (*FINE, exports(), refuses()),
        desk_pays(95_00),
        closed(),
        ("desk_payment", 95_00, -95_00, 0),
    ),
)
def test_a_change_before_export_moves_the_active_balance(
    history: Sequence[Step], event: Step, state: Now, posted: StaleRead
) -> None:
    ledger = Ledger(*history)
    done = ledger.take(event)
    assert outcome_of_event(done) == "applied"
    assert [moved(line) for line in done.transactions] == [posted]
    assert now(ledger) == state
    sound(ledger.store)


EUR = changes(ChangeKind.PAID, 1_00, currency="EUR")


@table(
    "history event outcome",
    ("2b-2 same identity, same content", (*FINE, desk_pays(1_00)), desk_pays(1_00), "repeat"),
    (
        "2b-3 same identity, other content",
        (*FINE, desk_pays(1_00)),
        desk_pays(2_00),
        "rejected:change_conflict",
    ),
    ("2b other currency", FINE, EUR, "rejected:currency_mismatch"),
    ("2b other currency before exported", (*FINE, exports()), EUR, "rejected:currency_mismatch"),
    ("2b other currency before closed", (*CANCELLED,), EUR, "rejected:currency_mismatch"),
    ("2b transferred", (*FINE, exports()), desk_pays(1_00), "rejected:already_exported"),
    (
        "2b transferred and paid",
        (*FINE, exports(), pays(95_00)),
        desk_pays(1_00),
        "rejected:already_exported",
    ),
    (
        "2b closed by its export",
        (*FINE, exports(terms=ONLY)),
        cancels(),
        "rejected:already_exported",
    ),
    (
        "2b lost, closed by its export",
        (*LOST_ITEM, exports()),
        disputes(),
        "rejected:already_exported",
    ),
    ("2b closed in the library: paid", CANCELLED, desk_pays(1_00), "rejected:already_closed"),
    ("2b closed in the library: cancelled", CANCELLED, cancels(), "rejected:already_closed"),
    ("2b closed in the library: restored", CANCELLED, restores(), "rejected:already_closed"),
    (
        "2b refused and closed in the library",
        (*FINE, exports(), refuses(), cancels(change_id="c0")),
        disputes(),
        "rejected:already_closed",
    ),
    ("2b paid more than remains", FINE, desk_pays(95_01), "rejected:exceeds_remaining"),
    (
        "2b waived more than remains",
        (*FINE, desk_pays(30_00, change_id="c0")),
        waives(65_01),
        "rejected:exceeds_remaining",
    ),
    (
        "2b a credit refunded beyond what remains",
        CREDIT,
        desk_pays(20_01),
        "rejected:exceeds_remaining",
    ),
    ("2b restored while Active", FINE, restores(), "rejected:no_change"),
    ("2b disputed while In dispute", DISPUTED, disputes(), "rejected:no_change"),
    ("2b fine unknown", (), desk_pays(1_00), "parked:unknown_fine"),
    ("2 created again, same content", FINE, creates(95_00), "repeat"),
    ("2 created again, other amount", FINE, creates(95_01), "rejected:fine_conflict"),
    ("2 created again, other owner", FINE, creates(95_00, owner=LIBRARY), "rejected:fine_conflict"),
    (
        "2 created again after it was paid",
        (*FINE, exports(), pays(95_00)),
        creates(95_00),
        "repeat",
    ),
)
def test_a_change_that_does_not_apply_moves_nothing(
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
    assert len(ledger.waits()) == outcome.startswith("parked")


def test_a_rejected_change_keeps_its_identity() -> None:
    ledger = Ledger(*FINE, desk_pays(95_01))
    assert outcome_of_event(ledger.take(desk_pays(95_01))) == "repeat"
    assert outcome_of_event(ledger.take(desk_pays(1_00))) == "rejected:change_conflict"
    assert outcome_of_event(ledger.take(desk_pays(95_01))) == "repeat"


def test_a_change_names_the_library_as_its_cause() -> None:
    ledger = Ledger(*FINE)
    given = changes(ChangeKind.WAIVED, 5_00, reason="goodwill", comment="first time")
    line = ledger.take(given).transactions[0]
    assert line.cause == LibraryRef("alma", "c1", "goodwill")
    assert (line.comment, line.occurred_at) == ("first time", at(10))


def test_changes_ahead_of_their_fine_apply_in_the_order_they_came() -> None:
    ledger = Ledger(desk_pays(95_00, change_id="c1"), waives(1_00, change_id="c2"))
    done = ledger.take(creates(95_00))
    assert [line.kind for line in done.transactions] == [Kind.FINE, Kind.DESK_PAYMENT]
    assert ledger.reasons() == ["already_closed"]
    assert ledger.waits() == {}


def test_a_change_is_known_by_its_source_too() -> None:
    ledger = Ledger(*FINE, desk_pays(1_00))
    other = replace(desk_pays(2_00), key=desk_pays(2_00).key._replace(source="desk2"))
    assert outcome_of_event(ledger.take(other)) == "applied"
    assert ledger.fine().remaining == 92_00


def test_the_newest_snapshot_of_a_patron_wins_whatever_came_last() -> None:
    ledger = Ledger(creates(1_00, seen=5, name="Roe, Jane"))
    ledger.take(creates(2_00, "F2", seen=3, name="Doe, Jane"))
    assert ledger.store.patrons[UNI, "P1"].name == "Roe, Jane"
    assert outcome_of_event(ledger.take(creates(1_00, seen=9, name="Poe, Jane"))) == "repeat"
    assert ledger.store.patrons[UNI, "P1"].name == "Poe, Jane"
    ledger.take(creates(1_01, seen=10, name="Loe, Jane"))
    assert ledger.reasons() == ["fine_conflict"]
    assert ledger.store.patrons[UNI, "P1"].name == "Poe, Jane"


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
