"""Payments and answers for lines that wait for their fines after a restore (rules.md, 5b)."""

from collections.abc import Sequence

from service.core.changes import Transaction
from service.core.events import TakeLines
from service.core.ledger import BatchKey, FineKey, LineKey
from tests.support.bursar import accepts, pays, refuses, reverses, tells
from tests.support.given import (
    RETRIES,
    UNI,
    Export,
    cancels,
    creates,
    exports,
    table,
    waives,
)
from tests.support.in_memory import (
    Ledger,
    Step,
    moved,
    now,
    open_,
    outcome_of_event,
    transferred,
)
from tests.support.recovering import recovering
from tests.support.view_store import sound
from tests.unit.test_rules_adopted import states

BATCH = BatchKey(UNI, "BOTH", 1)
LINE = LineKey(UNI, "1001")
THREE = {"F1": 95_00, "F2": 5_00, "F3": 7_00}
THREE_LINES = exports("F1", "F2", "F3")


def with_line(*before: Step) -> Ledger:
    return recovering(*before, adopted=[(exports(), 95_00)])


@table(
    "payment wait",
    ("5b.7 by its line", pays(95_00, None, line="1001"), "unknown_fine"),
    ("5b.7 by its fine", pays(95_00), "unknown_fine"),
    ("5b.7 by both", pays(95_00, line="1001"), "unknown_fine"),
)
def test_money_that_comes_before_the_fine_is_applied_when_the_fine_takes_its_line(
    payment: Step, wait: str
) -> None:
    ledger = with_line()
    ledger.take(payment)
    assert ledger.waits() == {"p1": wait}
    done = ledger.take(creates(95_00))
    assert [moved(line)[0] for line in done.transactions] == ["fine", "export_and_paid", "payment"]
    assert ledger.waits() == {}
    assert now(ledger) == transferred(0)
    sound(ledger.store)


def test_money_waits_as_long_as_the_fine_does_not_meet_its_line() -> None:
    ledger = with_line(creates(99_00))
    ledger.take(pays(95_00, None, line="1001"))
    assert ledger.waits() == {"p1": "not_exported"}
    ledger.take(waives(4_00))
    assert now(ledger) == transferred(0)


def test_money_for_another_fine_than_that_of_the_line_is_rejected() -> None:
    ledger = with_line()
    assert outcome_of_event(ledger.take(pays(95_00, "F2", line="1001"))) == (
        "rejected:reference_mismatch"
    )


def test_money_for_a_fine_that_is_closed_waits_for_a_person() -> None:
    ledger = with_line(creates(99_00), cancels())
    assert outcome_of_event(ledger.take(pays(95_00))) == "parked:not_exported"
    assert states(ledger) == {"1001": "waiting"}


def test_money_in_another_currency_is_rejected_at_once() -> None:
    ledger = with_line(creates(99_00), cancels())
    assert outcome_of_event(ledger.take(pays(95_00, currency="EUR"))) == (
        "rejected:currency_mismatch"
    )


def test_money_for_the_older_line_is_for_the_fine() -> None:
    ledger = recovering(adopted=[(exports(), 95_00), (exports(batch=2), 65_00)])
    for step in (pays(60_00, None, line="1001"), creates(95_00), waives(30_00)):
        ledger.take(step)
    assert now(ledger) == transferred(5_00)


def test_the_line_of_a_fine_that_was_paid_counts_as_refused_when_nothing_of_it_is_left() -> None:
    """5b.6: the payment was reversed before the bursar has refused the line."""
    ledger = recovering(creates(95_00), exports(), pays(95_00), adopted=[(exports(batch=2), 95_00)])
    ledger.store.fold(TakeLines(FineKey(UNI, "F1")))
    assert now(ledger) == transferred(0)
    ledger.take(reverses())
    assert now(ledger) == transferred(95_00)
    assert ledger.fine().bursar_transaction_id == "2001"
    sound(ledger.store)


@table(
    "response state lines",
    ("5b.8 all of it", refuses(), "refused", ["F1", "F2", "F3"]),
    ("5b.8 a line", refuses("1002"), "partly_refused", ["F2"]),
    ("5.13 accepted", accepts(), "accepted", []),
)
def test_an_answer_to_lines_that_wait_takes_effect_when_they_are_taken(
    response: Step, state: str, lines: Sequence[str]
) -> None:
    ledger = recovering(adopted=[(THREE_LINES, THREE)])
    done = ledger.take(response)
    assert outcome_of_event(done) == "applied"
    assert done.transactions == ()
    assert ledger.store.batches[BATCH].state == state
    for fine_id, amount in THREE.items():
        ledger.take(creates(amount, fine_id))
    refused = [line.fine.facts.fine_id for line in done_as(ledger, "export_rejected")]
    assert refused == lines
    for fine_id in lines:
        assert now_of(ledger, fine_id) == ("Active", THREE[fine_id])
        assert ledger.fine(fine_id).refused_reason is not None
    sound(ledger.store)


def done_as(ledger: Ledger, kind: str) -> list[Transaction]:
    return [line for line in ledger.store.transactions if line.kind.value == kind]


def now_of(ledger: Ledger, fine_id: str) -> tuple[str, int]:
    fine = ledger.fine(fine_id)
    return fine.status.value, fine.remaining


def test_a_kept_refusal_has_the_reason_and_the_time_of_the_answer() -> None:
    ledger = with_line()
    answer = refuses("1001")
    ledger.take(answer)
    ledger.take(creates(95_00))
    (refused,) = done_as(ledger, "export_rejected")
    assert refused.comment == "no such student"
    assert refused.occurred_at == answer.responded_at
    assert ledger.store.lines[LINE].reason == "no such student"
    assert ledger.fine().refused_reason == "no such student"


def test_5b_8_a_line_whose_refusal_is_kept_still_waits_in_the_same_poll() -> None:
    ledger = with_line()
    ledger.store.fold(refuses("1001"), refuses("1001", response_id="a2"))
    assert ledger.reasons() == ["not_live"]


def test_terms_that_retry_do_not_hold_a_fine_back_for_a_kept_refusal() -> None:
    ledger = recovering(adopted=[(exports(terms=RETRIES), 95_00)])
    ledger.take(refuses())
    ledger.take(creates(95_00))
    assert now(ledger) == open_(95_00)
    assert ledger.fine().refused_reason is None


@table(
    "first second outcome",
    ("5.15 refused twice", refuses("1001"), refuses("1001", response_id="a2"), "not_live"),
    ("5.14 nothing is left", refuses(), refuses(response_id="a2"), "not_live"),
    ("5.15 no line of it", accepts(), refuses("9", response_id="a2"), "unknown_line"),
)
def test_an_answer_about_lines_that_wait_is_checked_as_any_other(
    first: Step, second: Step, outcome: str
) -> None:
    ledger = with_line()
    ledger.take(first)
    assert outcome_of_event(ledger.take(second)) == f"rejected:{outcome}"


def test_control_totals_are_those_of_the_batch_and_not_of_the_lines_that_were_taken() -> None:
    ledger = recovering(creates(95_00), adopted=[(THREE_LINES, THREE)])
    sound_answer = accepts(control=(3, "107.00"))
    assert outcome_of_event(ledger.take(sound_answer)) == "applied"
    other = accepts(response_id="a2", control=(2, "107.00"))
    assert outcome_of_event(ledger.take(other)) == "rejected:control_total_mismatch"


@table(
    "money outcome",
    ("5b.10 a payment", (pays(95_00),), "rejected:already_paid"),
    ("5b.10 a payment by its line", (pays(95_00, None, line="1001"),), "rejected:already_paid"),
    ("5b.8 a change in the library is no money", (waives(4_00),), "applied"),
    ("5b.8 a status is no money", (tells("invoiced"),), "applied"),
    ("5b.8 it was reversed", (pays(95_00), reverses()), "applied"),
    ("5b.10 a part of it was", (pays(95_00), reverses(amount=1_00)), "rejected:already_paid"),
)
def test_money_that_waits_for_the_fine_forbids_a_refusal(
    money: Sequence[Step], outcome: str
) -> None:
    ledger = with_line()
    for step in money:
        ledger.take(step)
    assert outcome_of_event(ledger.take(refuses("1001"))) == outcome


def test_money_for_the_newer_line_does_not_forbid_the_refusal_of_the_older() -> None:
    ledger = recovering(adopted=[(exports(), 95_00), (exports(batch=2), 95_00)])
    ledger.take(pays(95_00))
    assert outcome_of_event(ledger.take(refuses("1001"))) == "applied"
    ledger.take(creates(95_00))
    assert now(ledger) == transferred(0)
    assert ledger.fine().bursar_transaction_id == "2001"


def two_lines() -> Sequence[tuple[Export, int]]:
    return [(exports(), 95_00), (exports(batch=2), 65_00)]


@table(
    "steps",
    ("5b.10 the answer after the fine", (creates(95_00), refuses("1001"), waives(30_00))),
    ("5b.8 the answer before the fine", (refuses("1001"), creates(95_00), waives(30_00))),
    ("5b.10 the answer at the end", (creates(95_00), waives(30_00), refuses("1001"))),
)
def test_the_answer_about_an_older_line_gives_it_the_reason(steps: Sequence[Step]) -> None:
    ledger = recovering(adopted=two_lines())
    for step in steps:
        assert outcome_of_event(ledger.take(step)) == "applied"
    assert now(ledger) == transferred(65_00)
    assert ledger.store.lines[LINE].reason == "no such student"
    assert ledger.store.batches[BATCH].state == "refused"
    again = refuses("1001", response_id="a2")
    assert outcome_of_event(ledger.take(again)) == "rejected:not_live"
    sound(ledger.store)
