"""A fine takes the line of its export that was published before a restore (rules.md, 5b)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from service.core.events import TakeLines
from service.core.ledger import ExportRef, FineKey, LineKey
from service.core.terms import Terms
from service.core.words import ChangeKind
from tests.support.given import (
    BOTH,
    CLOSES_LOANS,
    LOST,
    ONLY,
    UNI,
    adjusts,
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
    Step,
    closed,
    moved,
    now,
    open_,
    outcome_of_event,
    transferred,
)
from tests.support.recovering import recovering
from tests.support.view_store import sound

F1 = FineKey(UNI, "F1")


def states(ledger: Ledger) -> dict[str, str]:
    """The state of each adopted line by its bursar transaction id."""
    return {key.bursar_transaction_id: row.state.value for key, row in ledger.store.adopted.items()}


@table(
    "amount steps before after",
    ("5b.1 as it was created", 95_00, (creates(95_00),), (), transferred(95_00)),
    (
        "5b.2 partly paid before",
        65_00,
        (creates(95_00), desk_pays(30_00)),
        open_(95_00),
        transferred(65_00),
    ),
    (
        "5b.2 waived before",
        65_00,
        (creates(95_00), waives(30_00)),
        open_(95_00),
        transferred(65_00),
    ),
    (
        "5b.2 adjusted before",
        99_00,
        (creates(95_00), adjusts(99_00)),
        open_(95_00),
        transferred(99_00),
    ),
    (
        "5b.2 paid and adjusted before",
        69_00,
        (creates(95_00), desk_pays(30_00), adjusts(99_00, change_id="c2")),
        open_(65_00),
        transferred(69_00),
    ),
    ("5b.2 a credit", -20_00, (creates(-20_00),), (), transferred(-20_00)),
    (
        "5b.2 a credit waived in part before",
        -15_00,
        (creates(-20_00), waives(5_00)),
        open_(-20_00),
        transferred(-15_00),
    ),
)
def test_a_fine_takes_its_line_when_what_remains_is_the_lines_amount(
    amount: int, steps: Sequence[Step], before: Now | tuple[()], after: Now
) -> None:
    ledger = recovering(adopted=[(exports(), amount)])
    for step in steps[:-1]:
        ledger.take(step)
    if before:
        assert now(ledger) == before
        assert states(ledger) == {"1001": "waiting"}
    done = ledger.take(steps[-1])
    assert now(ledger) == after
    assert states(ledger) == {"1001": "taken"}
    assert moved(done.transactions[-1]) == ("export_and_paid", amount, -amount, amount)
    assert ledger.line_state("1001") == "live"
    sound(ledger.store)


def test_the_transaction_is_that_of_the_export() -> None:
    ledger = recovering(adopted=[(exports(minute=17), 95_00)])
    created, exported = ledger.take(creates(95_00)).transactions
    assert exported.cause == ExportRef("BOTH", 1, "1001")
    assert exported.occurred_at == at(17)
    assert exported.label == "Exported and paid"
    assert exported.after.sequence == created.after.sequence + 1
    assert ledger.fine().terms == BOTH
    assert ledger.fine().bursar_transaction_id == "1001"


@table(
    "steps",
    ("5b.2 another amount", (creates(95_01),)),
    ("5b.2 another currency", (creates(95_00, currency="EUR"),)),
    ("5b.2 another fine", (creates(95_00, "F2"),)),
    ("5b.2 paid in the library", (creates(96_00), desk_pays(96_00))),
    ("5b.2 cancelled", (creates(96_00), cancels())),
)
def test_a_line_goes_on_waiting_for_a_fine_that_it_does_not_meet(steps: Sequence[Step]) -> None:
    ledger = recovering(adopted=[(exports(), 95_00)])
    for step in steps:
        ledger.take(step)
    assert states(ledger) == {"1001": "waiting"}
    assert LineKey(UNI, "1001") not in ledger.store.lines
    sound(ledger.store)


def test_a_fine_in_dispute_takes_its_line_when_it_is_restored() -> None:
    ledger = recovering(creates(95_00), disputes(), adopted=[(exports(), 95_00)])
    ledger.store.fold(TakeLines(F1))
    assert now(ledger) == open_(95_00, "In dispute")
    ledger.take(restores(change_id="c2", minute=11))
    assert now(ledger) == transferred(95_00)


@table(
    "terms type_ status",
    ("5b.1 it closed on its export", ONLY, "OVERDUEFINE", closed()),
    ("5b.3 a lost fine", BOTH, LOST, closed()),
)
def test_the_line_says_whether_the_fine_closes(terms: Terms, type_: str, status: Now) -> None:
    export = exports(terms=terms)
    ledger = recovering(adopted=[(export, 95_00)], closed=["F1"])
    done = ledger.take(creates(95_00, type_=type_))
    assert now(ledger) == status
    assert moved(done.transactions[-1]) == ("export", 95_00, -95_00, 0)


def test_the_loan_of_a_lost_fine_is_closed_once() -> None:
    """5b.3: with what the first event said, so that readers know the second one as its repeat."""
    export = exports("F1", "F2", terms=CLOSES_LOANS)
    amounts = {"F1": 95_00, "F2": 5_00}
    ledger = recovering(adopted=[(export, amounts)], closed=["F1", "F2"])
    first = ledger.take(creates(95_00, type_=LOST, loan_id="L1"))
    second = ledger.take(creates(5_00, "F2", type_=LOST, loan_id="L1"))
    (loan,) = first.loans_closed
    assert (loan.loan_id, loan.batch_number, loan.closed_at) == ("L1", 1, at(20))
    assert second.loans_closed == ()


def test_a_fine_that_is_known_takes_its_line_without_a_record() -> None:
    ledger = recovering(creates(95_00), adopted=[(exports(), 95_00)])
    done = ledger.store.fold(TakeLines(F1))
    assert [moved(line) for line in done.transactions] == [
        ("export_and_paid", 95_00, -95_00, 95_00)
    ]
    assert ledger.store.fold(TakeLines(F1)).transactions == ()
    sound(ledger.store)


def test_a_fine_that_is_known_takes_its_line_before_the_first_record_about_it() -> None:
    ledger = recovering(creates(95_00), adopted=[(exports(), 95_00)])
    done = ledger.take(desk_pays(30_00))
    assert outcome_of_event(done) == "rejected:already_exported"
    assert now(ledger) == transferred(95_00)


def test_a_change_that_is_read_before_its_fine_is_applied_before_the_line_is_taken() -> None:
    ledger = recovering(adopted=[(exports(), 65_00)])
    ledger.take(desk_pays(30_00))
    done = ledger.take(creates(95_00))
    assert [moved(line)[0] for line in done.transactions] == [
        "fine",
        "desk_payment",
        "export_and_paid",
    ]
    assert now(ledger) == transferred(65_00)


def test_of_changes_that_waited_those_behind_the_export_find_it_exported() -> None:
    ledger = recovering(adopted=[(exports(), 65_00)])
    for step in (desk_pays(30_00), waives(10_00, change_id="c2"), creates(95_00)):
        ledger.take(step)
    assert now(ledger) == transferred(65_00)
    assert ledger.reasons() == ["already_exported"]


def test_a_fine_that_a_person_had_let_go_counts_as_released() -> None:
    event = creates(95_00)
    event = replace(event, facts=replace(event.facts, exportable=False))
    ledger = recovering(adopted=[(exports(), 95_00)])
    ledger.take(event)
    assert ledger.fine().released
    assert now(ledger) == transferred(95_00)


CREDIT = creates(-20_00, "C1", credit_of="F1")
FOLLOWING: Mapping[str, int] = {"F1": 95_00, "C1": -20_00}


@table(
    "steps",
    ("5b.4 the fine first", (creates(95_00, type_=LOST), CREDIT)),
    ("5b.4 the credit first", (CREDIT, creates(95_00, type_=LOST))),
)
def test_a_credit_that_followed_its_fine_takes_its_line_after_the_fine(
    steps: Sequence[Step],
) -> None:
    ledger = recovering(adopted=[(exports("F1", "C1"), FOLLOWING)], closed=["F1", "C1"])
    for step in steps:
        ledger.take(step)
    exported = [line for line in ledger.store.transactions if line.kind.value == "export"]
    assert [line.fine.facts.fine_id for line in exported] == ["F1", "C1"]
    assert (ledger.account().active, ledger.account().transferred) == (0, 0)
    histories = ledger.store.view().credit_histories
    assert histories[FineKey(UNI, "C1")].followed
    sound(ledger.store)


def test_a_credit_that_went_its_own_way_does_not_wait_for_its_fine() -> None:
    ledger = recovering(adopted=[(exports("F1", "C1"), FOLLOWING)])
    ledger.take(CREDIT)
    assert now(ledger, "C1") == transferred(-20_00)


def test_an_adjustment_after_the_export_is_rejected_as_before() -> None:
    ledger = recovering(adopted=[(exports(), 95_00)])
    ledger.take(creates(95_00))
    assert outcome_of_event(ledger.take(changes(ChangeKind.ADJUSTED, 50_00))) == (
        "rejected:already_exported"
    )
