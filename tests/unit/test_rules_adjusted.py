"""Fines whose amount the library adjusts before their export (rules.md, 2b)."""

from collections.abc import Sequence
from datetime import datetime

from service.core.amendment import NOT_AMENDED, Amendment
from service.core.events import FineChanged
from service.core.ledger import LibraryRef
from service.core.words import ChangeKind
from tests.support.bursar import pays, refuses
from tests.support.given import (
    CREDIT_ID,
    EXPORTED,
    FINE,
    ONLY,
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
    Movement,
    Now,
    Step,
    check_not_applied,
    closed,
    moved,
    now,
    open_,
    outcome_of_event,
    transferred,
)
from tests.support.view_store import sound

CREDIT = (creates(-20_00),)
PART_PAID = (*FINE, desk_pays(30_00, change_id="c0"))
PART_WAIVED = (*PART_PAID, waives(5_00, change_id="w0"))
EXCESS = (*EXPORTED, pays(100_00))
EUR = changes(ChangeKind.ADJUSTED, 1_00, currency="EUR")


@table(
    "history event state posted",
    ("2b.14 up", FINE, adjusts(97_50), open_(97_50), ("adjustment", 2_50, 2_50, 0)),
    ("2b.14 down", FINE, adjusts(90_00), open_(90_00), ("adjustment", -5_00, -5_00, 0)),
    (
        "2b.14 up after a part was paid: the difference remains too",
        PART_PAID,
        adjusts(97_50),
        open_(67_50),
        ("adjustment", 2_50, 2_50, 0),
    ),
    (
        "2b.14 down to one cent above what was paid and waived",
        PART_WAIVED,
        adjusts(35_01),
        open_(1),
        ("adjustment", -59_99, -59_99, 0),
    ),
    (
        "2b.14 down to what was paid and waived: nothing is left",
        PART_WAIVED,
        adjusts(35_00),
        closed(),
        ("adjustment", -60_00, -60_00, 0),
    ),
    (
        "2b.14 in dispute: it stays so",
        (*FINE, disputes(change_id="c0")),
        adjusts(97_50),
        open_(97_50, "In dispute"),
        ("adjustment", 2_50, 2_50, 0),
    ),
    (
        "2b.14 a credit: the amount is positive, the effect has the other sign",
        CREDIT,
        adjusts(25_00),
        open_(-25_00),
        ("adjustment", -5_00, -5_00, 0),
    ),
    (
        "2b.14 a credit, down to what was refunded",
        (*CREDIT, desk_pays(8_00, change_id="c0")),
        adjusts(8_00),
        closed(),
        ("adjustment", 12_00, 12_00, 0),
    ),
    (
        "2b.14 a second time: the difference to the amount as adjusted",
        (*FINE, adjusts(97_50, change_id="c0")),
        adjusts(100_00),
        open_(100_00),
        ("adjustment", 2_50, 2_50, 0),
    ),
    (
        "2b.14 back to the first amount",
        (*FINE, adjusts(97_50, change_id="c0")),
        adjusts(95_00),
        open_(95_00),
        ("adjustment", -2_50, -2_50, 0),
    ),
    (
        "2b.14 after a refusal the fine is the library's again",
        (*PART_PAID, exports(), refuses()),
        adjusts(97_50),
        open_(67_50),
        ("adjustment", 2_50, 2_50, 0),
    ),
)
def test_an_adjustment_changes_what_remains_by_the_difference(
    history: Sequence[Step], event: Step, state: Now, posted: Movement
) -> None:
    ledger = Ledger(*history)
    done = ledger.take(event)
    assert outcome_of_event(done) == "applied"
    assert [moved(line) for line in done.transactions] == [posted]
    assert now(ledger) == state
    sound(ledger.store)


def test_a_fine_that_grows_before_its_export_is_billed_as_it_is_then() -> None:
    ledger = Ledger(creates(5_00), adjusts(7_50), exports())
    assert now(ledger) == transferred(7_50)
    fine = ledger.fine()
    assert (fine.amount, fine.amount_created, fine.facts.amount) == (7_50, 5_00, 5_00)
    line = ledger.store.transactions[-1]
    assert (line.kind.value, line.amount) == ("export_and_paid", 7_50)


def test_an_adjustment_names_the_library_as_its_cause() -> None:
    ledger = Ledger(*FINE)
    given = changes(ChangeKind.ADJUSTED, 97_50, reason="still out", comment="day 3")
    line = ledger.take(given).transactions[0]
    assert line.cause == LibraryRef("alma", "c1", "still out")
    assert (line.label, line.comment, line.occurred_at) == ("Adjust", "day 3", at(10))
    assert ledger.fine().changed_at == at(10)


def test_an_excess_credit_may_be_adjusted_down_and_up_to_what_it_was_made_with() -> None:
    ledger = Ledger(*EXCESS, adjusts(3_00, CREDIT_ID), adjusts(5_00, CREDIT_ID, "c2"))
    assert now(ledger, CREDIT_ID).remaining == -5_00
    assert ledger.fine(CREDIT_ID).amount == -5_00
    done = ledger.take(adjusts(5_01, CREDIT_ID, "c3"))
    assert done.rejections[0].detail == "amount: is more than that with which the credit was made"
    assert outcome_of_event(done) == "rejected:exceeds_remaining"


def test_a_fine_that_was_adjusted_and_comes_again_is_a_repeat() -> None:
    ledger = Ledger(creates(5_00), adjusts(7_50))
    assert outcome_of_event(ledger.take(creates(5_00))) == "repeat"
    assert outcome_of_event(ledger.take(creates(7_50))) == "rejected:fine_conflict"
    assert ledger.fine().amount == 7_50


@table(
    "history event outcome",
    ("2b.1 fine unknown", (), adjusts(1_00), "parked:unknown_fine"),
    ("2b.2 other currency", FINE, EUR, "rejected:currency_mismatch"),
    ("2b.3 transferred", EXPORTED, adjusts(97_50), "rejected:already_exported"),
    (
        "2b.3 closed by its export",
        (*FINE, exports(terms=ONLY)),
        adjusts(97_50),
        "rejected:already_exported",
    ),
    (
        "2b.4 cancelled",
        (*FINE, cancels(change_id="c0")),
        adjusts(97_50),
        "rejected:already_closed",
    ),
    ("2b.12 less than was paid", PART_PAID, adjusts(29_99), "rejected:exceeds_remaining"),
    (
        "2b.12 less than was paid and waived",
        PART_WAIVED,
        adjusts(34_99),
        "rejected:exceeds_remaining",
    ),
    (
        "2b.12 a credit: less than was refunded",
        (*CREDIT, desk_pays(8_00, change_id="c0")),
        adjusts(7_99),
        "rejected:exceeds_remaining",
    ),
    (
        "2b.13 a made credit above what it was made with",
        EXCESS,
        adjusts(5_01, CREDIT_ID),
        "rejected:exceeds_remaining",
    ),
    ("2b.15 the same amount", FINE, adjusts(95_00), "rejected:no_change"),
    (
        "2b.15 the same amount as adjusted",
        (*FINE, adjusts(97_50, change_id="c0")),
        adjusts(97_50),
        "rejected:no_change",
    ),
    ("2b.15 a credit", CREDIT, adjusts(20_00), "rejected:no_change"),
    ("2b.2 repeat", (*FINE, adjusts(97_50)), adjusts(97_50), "repeat"),
    ("2b.2 conflict", (*FINE, adjusts(97_50)), adjusts(98_00), "rejected:change_conflict"),
)
def test_an_adjustment_that_does_not_apply_moves_nothing(
    history: Sequence[Step], event: Step, outcome: str
) -> None:
    check_not_applied(Ledger(*history), event, outcome)


@table(
    "history event instant",
    ("applied", FINE, adjusts(97_50), at(10)),
    ("2b.15 no_change", FINE, adjusts(95_00), at(10)),
    ("2b.3 already_exported", EXPORTED, adjusts(97_50), at(10)),
    ("2b.4 already_closed", (*FINE, cancels(change_id="c0")), adjusts(97_50), at(10)),
    ("2b.12 exceeds_remaining", PART_PAID, adjusts(29_99), None),
    ("2b.13 exceeds_remaining", EXCESS, adjusts(5_01, CREDIT_ID), None),
    ("2b.2 currency_mismatch", FINE, EUR, None),
    ("other changes", FINE, desk_pays(1_00), None),
    ("a dispute", FINE, disputes(), None),
)
def test_the_instant_of_an_adjustment_is_kept_unless_it_exceeds_remaining(
    history: Sequence[Step], event: FineChanged, instant: datetime | None
) -> None:
    ledger = Ledger(*history)
    ledger.take(event)
    assert ledger.fine(event.fine_id).amendment.adjusted_at == instant
    sound(ledger.store)


@table(
    "minute outcome remaining",
    ("older", 9, "rejected:overtaken", 97_50),
    ("equal: it counts as later", 10, "applied", 90_00),
    ("later", 11, "applied", 90_00),
)
def test_an_adjustment_older_than_the_latest_is_overtaken(
    minute: int, outcome: str, remaining: int
) -> None:
    ledger = Ledger(*FINE, adjusts(97_50, minute=10))
    done = ledger.take(adjusts(90_00, change_id="c2", minute=minute))
    assert outcome_of_event(done) == outcome
    assert ledger.fine().remaining == remaining
    assert ledger.fine().amendment.adjusted_at == max(at(10), at(minute))
    sound(ledger.store)


def test_a_rejected_adjustment_overtakes_an_outcome_of_an_older_unless_it_was_too_little() -> None:
    same = Ledger(*FINE, adjusts(95_00, minute=10))
    assert _outcome_of_an_older(same) == "rejected:overtaken"
    late = Ledger(*EXPORTED, adjusts(97_50, minute=10), refuses())
    assert _outcome_of_an_older(late) == "rejected:overtaken"
    too_little = Ledger(*PART_PAID, adjusts(29_99, minute=10))
    assert _outcome_of_an_older(too_little) == "applied"


def _outcome_of_an_older(ledger: Ledger) -> str:
    return outcome_of_event(ledger.take(adjusts(90_00, change_id="c2", minute=9)))


def test_overtaken_comes_after_the_currency_and_before_the_export() -> None:
    ledger = Ledger(*FINE, adjusts(97_50, minute=10), exports())
    other = changes(ChangeKind.ADJUSTED, 1_00, change_id="c2", currency="EUR", minute=9)
    assert outcome_of_event(ledger.take(other)) == "rejected:currency_mismatch"
    older = adjusts(90_00, change_id="c3", minute=9)
    assert outcome_of_event(ledger.take(older)) == "rejected:overtaken"
    assert ledger.store.rejections[-1].detail.startswith("changed_at: ")


def test_a_fine_without_such_changes_is_not_amended() -> None:
    ledger = Ledger(*PART_WAIVED, exports(), pays(1_00))
    assert ledger.fine().amendment is NOT_AMENDED
    assert ledger.store.amendments == {}


def test_adjustments_that_come_before_their_fine_are_decided_in_the_order_they_came() -> None:
    ledger = Ledger(
        adjusts(97_50, change_id="c1", minute=11),
        adjusts(90_00, change_id="c2", minute=10),
        disputes(change_id="c3", minute=12),
        restores(change_id="c4", minute=11),
    )
    done = ledger.take(creates(95_00))
    assert [line.kind.value for line in done.transactions] == ["fine", "adjustment", "disputed"]
    assert ledger.reasons() == ["overtaken", "overtaken"]
    assert ledger.fine().amendment == Amendment(97_50, at(11), at(12))
    sound(ledger.store)
