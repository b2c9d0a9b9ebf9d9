"""Payments and waivers in the library after the export of their fine (rules.md, 2b)."""

from collections.abc import Sequence
from dataclasses import replace

from service.core.after_export import change_credit_id
from service.core.ledger import LibraryRef, SourceKey
from service.core.words import ChangeKind, Kind
from tests.support.bursar import pays, refuses, reverses
from tests.support.given import (
    BOTH,
    CREDITS,
    DESK,
    LIBRARY,
    LOST,
    ONLY_CREDITS,
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
    Step,
    check_not_applied,
    moved,
    now,
    outcome_of_event,
    transferred,
)
from tests.support.view_store import sound

FINE = creates(25_00, owner=LIBRARY)
EXPORTED = (FINE, exports(terms=CREDITS))
CLOSED = (FINE, exports(terms=ONLY_CREDITS))
CREDIT = change_credit_id(SourceKey(UNI, DESK, "c1"))
CREATED = creates(-10_00, "C1", credit_of="F1")


def test_the_credit_has_an_id_that_is_made_of_the_change() -> None:
    # SHA-256 of "1234\nalma\nc1\nchange"
    assert CREDIT == "bb-" + "6377aa9b2b3b365cdcfec62ddc5ac913"


@table(
    "history event",
    ("2b.16 paid", EXPORTED, desk_pays(25_00)),
    ("2b.16 waived", EXPORTED, waives(25_00)),
    ("2b.16 paid, the fine closed on its export", CLOSED, desk_pays(25_00)),
    ("2b.16 waived, the fine closed on its export", CLOSED, waives(25_00)),
)
def test_what_is_paid_after_the_export_becomes_a_credit(
    history: Sequence[Step], event: Step
) -> None:
    ledger = Ledger(*history)
    before = now(ledger)
    done = ledger.take(event)
    assert outcome_of_event(done) == "applied"
    assert [moved(line) for line in done.transactions] == [("credit", -25_00, -25_00, 0)]
    assert now(ledger) == replace(before, active=-25_00)
    credit = ledger.fine(CREDIT)
    assert (credit.status, credit.remaining, credit.outstanding) == ("Active", -25_00, 0)
    sound(ledger.store)


def test_the_credit_is_the_fines_and_says_what_the_change_says() -> None:
    event = changes(ChangeKind.PAID, 5_00, reason="till 3", comment="paid in cash", minute=77)
    ledger = Ledger(*EXPORTED)
    (line,) = ledger.take(event).transactions
    facts, fine = ledger.fine(CREDIT).facts, ledger.fine().facts
    assert (facts.type, facts.amount, facts.currency) == ("CREDIT", -5_00, "USD")
    assert (facts.patron_id, facts.owner, facts.credit_of) == (fine.patron_id, LIBRARY, "F1")
    assert (facts.created_at, facts.comment) == (at(77), "paid in cash")
    assert facts.exportable
    assert ledger.fine(CREDIT).changed_at == at(77)
    assert (line.kind, line.label, line.comment) == (Kind.CREDIT, "Credit", "paid in cash")
    assert line.cause == LibraryRef(DESK, "c1", "till 3")
    assert (line.occurred_at, line.is_excess) == (at(77), False)


def test_the_label_of_the_credit_is_that_of_the_fines_terms() -> None:
    terms = replace(CREDITS, labels=((Kind.CREDIT, "Paid in the library"),))
    (line,) = Ledger(FINE, exports(terms=terms)).take(desk_pays(1)).transactions
    assert line.label == "Paid in the library"


def test_the_bursar_may_still_be_paid_and_the_credit_is_exported_like_any_other() -> None:
    ledger = Ledger(*EXPORTED, desk_pays(25_00), exports(CREDIT, batch=2), pays(25_00))
    assert now(ledger, CREDIT) == replace(transferred(-25_00), status="Transferred")
    assert now(ledger).outstanding == 0


def test_the_credit_of_a_fine_that_closed_on_its_export_follows_it() -> None:
    ledger = Ledger(*CLOSED, desk_pays(25_00), exports(CREDIT, batch=2))
    assert now(ledger, CREDIT).status == "Closed"
    assert (ledger.account().active, ledger.account().transferred) == (0, 0)


NOT_CREDITED = (FINE, exports(terms=BOTH))
CREDIT_EXPORTED = (creates(-25_00), exports(terms=CREDITS))


@table(
    "history event outcome",
    ("2b.3 terms that reject", NOT_CREDITED, desk_pays(1), "rejected:already_exported"),
    ("2b.3 cancelled", EXPORTED, cancels(), "rejected:already_exported"),
    ("2b.3 disputed", EXPORTED, disputes(), "rejected:already_exported"),
    ("2b.3 restored", EXPORTED, restores(), "rejected:already_exported"),
    ("2b.3 a credit", CREDIT_EXPORTED, desk_pays(1), "rejected:already_exported"),
    (
        "2b.2 another currency",
        EXPORTED,
        changes(ChangeKind.PAID, 1, currency="EUR"),
        "rejected:currency_mismatch",
    ),
    ("2b.17 a cent too much", EXPORTED, desk_pays(25_01), "rejected:exceeds_remaining"),
    ("2b.17 than was exported", CLOSED, waives(25_01), "rejected:exceeds_remaining"),
    (
        "2b.17 than was left when it closed",
        (FINE, desk_pays(5_00, change_id="c0"), exports(terms=ONLY_CREDITS)),
        desk_pays(20_01),
        "rejected:exceeds_remaining",
    ),
    (
        "2b.17 than the bursar lacks",
        (*EXPORTED, pays(20_00)),
        waives(5_01),
        "rejected:exceeds_remaining",
    ),
    (
        "2b.17 paid at the bursar",
        (*EXPORTED, pays(25_00)),
        desk_pays(1),
        "rejected:exceeds_remaining",
    ),
    (
        "2b.17 together with an earlier change",
        (*EXPORTED, desk_pays(20_00, change_id="c0")),
        waives(5_01),
        "rejected:exceeds_remaining",
    ),
    (
        "2b.17 together with a credit of the library",
        (*EXPORTED, CREATED),
        desk_pays(15_01),
        "rejected:exceeds_remaining",
    ),
    (
        "2b.17 together with a credit that was paid out at the desk",
        (*EXPORTED, CREATED, desk_pays(10_00, "C1", "c0")),
        desk_pays(15_01),
        "rejected:exceeds_remaining",
    ),
    (
        "2b.17 together with a credit that was refunded",
        (*EXPORTED, CREATED, exports("C1", batch=2), pays(10_00, "C1")),
        desk_pays(15_01),
        "rejected:exceeds_remaining",
    ),
    (
        "2b.4 refused since, and closed in the library",
        (*EXPORTED, refuses(), desk_pays(25_00, change_id="c0")),
        desk_pays(1),
        "rejected:already_closed",
    ),
)
def test_any_other_change_after_the_export_moves_nothing(
    history: Sequence[Step], event: Step, outcome: str
) -> None:
    check_not_applied(Ledger(*history), event, outcome)


@table(
    "history event",
    ("2b.16 all that is outstanding", (*EXPORTED, pays(20_00)), waives(5_00)),
    ("2b.16 after a reversal", (*EXPORTED, pays(25_00), reverses()), waives(25_00)),
    (
        "2b.16 what the library's own credit leaves",
        (*EXPORTED, CREATED),
        desk_pays(15_00),
    ),
    (
        "2b.16 a credit that was cancelled does not count",
        (*EXPORTED, CREATED, cancels("C1", "c0")),
        desk_pays(25_00),
    ),
    (
        "2b.16 nor does what was waived of it",
        (*EXPORTED, CREATED, waives(4_00, "C1", "c0")),
        desk_pays(19_00),
    ),
    (
        "2b.16 nor a credit of another patron",
        (*EXPORTED, creates(-10_00, "C1", patron="P2", credit_of="F1")),
        desk_pays(25_00),
    ),
    (
        "2b.16 nor the credit of an excess",
        (
            *EXPORTED,
            pays(30_00),
            reverses(),
            pays(1, payment_id="p2"),
            pays(26_00, payment_id="p3"),
            reverses("p2", payment_id="r2"),
        ),
        desk_pays(1),
    ),
)
def test_credits_take_off_what_may_still_be_paid(history: Sequence[Step], event: Step) -> None:
    ledger = Ledger(*history)
    assert outcome_of_event(ledger.take(event)) == "applied"
    sound(ledger.store)


def test_a_change_that_is_too_much_is_told_so_with_the_place() -> None:
    (rejection,) = Ledger(*EXPORTED).take(desk_pays(25_01)).rejections
    assert "at the bursar" in rejection.detail


def test_a_repeat_makes_no_second_credit_and_other_content_is_a_conflict() -> None:
    ledger = Ledger(*EXPORTED, desk_pays(10_00))
    check_not_applied(ledger, desk_pays(10_00), "repeat")
    check_not_applied(ledger, desk_pays(11_00), "rejected:change_conflict")


def test_credits_of_one_poll_count_together() -> None:
    ledger = Ledger(*EXPORTED)
    done = ledger.store.fold(
        desk_pays(20_00), waives(5_01, change_id="c2"), waives(5_00, change_id="c3")
    )
    assert done.outcomes == {"applied": 2, "rejected:exceeds_remaining": 1}
    assert ledger.account().active == -25_00


def test_a_credit_that_came_in_the_same_poll_counts() -> None:
    ledger = Ledger(*EXPORTED)
    done = ledger.store.fold(
        CREATED, desk_pays(15_01), waives(10_00, "C1", "c2"), waives(25_00, "F1", "c3")
    )
    assert done.outcomes == {"applied": 3, "rejected:exceeds_remaining": 1}


def test_5_15_a_credit_of_the_same_poll_keeps_the_line_of_its_fine() -> None:
    done = Ledger(*EXPORTED).store.fold(desk_pays(1), refuses())
    assert done.outcomes == {"applied": 1, "rejected:already_paid": 1}


@table(
    "history event outcome",
    ("5.15 a credit of a change", (*EXPORTED, desk_pays(1)), refuses(), "rejected:already_paid"),
    (
        "5.15 it was sent to the bursar",
        (*EXPORTED, desk_pays(1), exports(CREDIT, batch=2)),
        refuses(),
        "rejected:already_paid",
    ),
    (
        "5.15 it was paid out at the desk",
        (*EXPORTED, desk_pays(1), desk_pays(1, CREDIT, "c2")),
        refuses(),
        "rejected:already_paid",
    ),
    (
        "5.15 it was cancelled",
        (*EXPORTED, desk_pays(1), cancels(CREDIT, "c2")),
        refuses(),
        "applied",
    ),
    (
        "5.15 it was waived",
        (*EXPORTED, desk_pays(1), waives(1, CREDIT, "c2")),
        refuses(),
        "applied",
    ),
)
def test_a_line_is_not_refused_after_the_library_was_paid(
    history: Sequence[Step], event: Step, outcome: str
) -> None:
    assert outcome_of_event(Ledger(*history).take(event)) == outcome


def test_a_lost_fine_that_closed_takes_credits_too() -> None:
    ledger = Ledger(creates(95_00, type_=LOST), exports(terms=CREDITS))
    assert outcome_of_event(ledger.take(desk_pays(95_00))) == "applied"
    check_not_applied(ledger, waives(1, "F1", "c2"), "rejected:exceeds_remaining")
