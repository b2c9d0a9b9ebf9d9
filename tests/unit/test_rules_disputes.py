"""Disputes and their ends: the latest instant decides, whatever came last (rules.md, 2b)."""

from collections.abc import Callable, Sequence
from datetime import datetime

from service.core.events import FineChanged, Replay
from tests.support.bursar import refuses
from tests.support.given import (
    EXPORTED,
    FINE,
    adjusts,
    at,
    cancels,
    desk_pays,
    disputes,
    exports,
    restores,
    table,
)
from tests.support.in_memory import Ledger, Step, but_instants, outcome_of_event
from tests.support.view_store import sound

Make = Callable[..., FineChanged]


def test_a_dispute_that_is_read_after_its_later_end_leaves_the_fine_active() -> None:
    ledger = Ledger(*FINE)
    restored = ledger.take(restores(change_id="c1", minute=5))
    disputed = ledger.take(disputes(change_id="c2", minute=0))
    assert outcome_of_event(restored) == "rejected:no_change"
    assert outcome_of_event(disputed) == "rejected:overtaken"
    assert ledger.fine().status.value == "Active"
    sound(ledger.store)


@table(
    "first minute second outcome status",
    ("a dispute older than a dispute", disputes, 9, disputes, "rejected:overtaken", "In dispute"),
    ("a dispute as old as a dispute", disputes, 10, disputes, "rejected:no_change", "In dispute"),
    ("an end older than its dispute", disputes, 9, restores, "rejected:overtaken", "In dispute"),
    ("an end as old as its dispute", disputes, 10, restores, "applied", "Active"),
    ("an end later than its dispute", disputes, 11, restores, "applied", "Active"),
    ("a dispute as old as an end without one", restores, 10, disputes, "applied", "In dispute"),
    ("a dispute later than an end without one", restores, 11, disputes, "applied", "In dispute"),
)
def test_of_disputes_and_ends_the_latest_instant_decides(
    first: Make, minute: int, second: Make, outcome: str, status: str
) -> None:
    ledger = Ledger(*FINE, first(change_id="c1", minute=10))
    done = ledger.take(second(change_id="c2", minute=minute))
    assert outcome_of_event(done) == outcome
    assert ledger.fine().status.value == status
    assert ledger.fine().amendment.disputed_at == max(at(10), at(minute))
    sound(ledger.store)


@table(
    "history event instant",
    ("applied", FINE, disputes(), at(10)),
    ("no_change", FINE, restores(), at(10)),
    ("already_exported", EXPORTED, disputes(), at(10)),
    ("already_closed", (*FINE, cancels(change_id="c0")), restores(), at(10)),
    ("paid", FINE, desk_pays(1_00), None),
    ("adjusted", FINE, adjusts(97_50), None),
)
def test_the_instant_is_kept_whatever_the_outcome(
    history: Sequence[Step], event: Step, instant: datetime | None
) -> None:
    ledger = Ledger(*history)
    before = but_instants(ledger.store)
    outcome = outcome_of_event(ledger.take(event))
    assert ledger.fine().amendment.disputed_at == instant
    assert outcome == "applied" or but_instants(ledger.store) == before
    sound(ledger.store)


def test_adjustments_and_disputes_do_not_overtake_each_other() -> None:
    ledger = Ledger(
        *FINE, disputes(change_id="c1", minute=20), adjusts(97_50, "F1", "c2", minute=9)
    )
    assert (ledger.fine().status.value, ledger.fine().remaining) == ("In dispute", 97_50)
    assert outcome_of_event(ledger.take(restores(change_id="c3", minute=10))) == (
        "rejected:overtaken"
    )


def test_a_dispute_while_the_fine_was_away_overtakes_an_older_end_after_the_refusal() -> None:
    ledger = Ledger(*FINE, exports(), disputes(change_id="c1", minute=21), refuses())
    assert outcome_of_event(ledger.take(restores(change_id="c2", minute=20))) == (
        "rejected:overtaken"
    )
    assert ledger.fine().status.value == "Active"


def test_a_replay_decides_a_rejected_change_afresh() -> None:
    late = disputes(change_id="c1", minute=21)
    ledger = Ledger(*EXPORTED, late, refuses())
    done = ledger.store.fold(Replay(late))
    assert (done.outcomes, ledger.fine().status.value) == ({"applied": 1}, "In dispute")
    overtaken = restores(change_id="c2", minute=20)
    ledger.take(overtaken)
    again = ledger.store.fold(Replay(overtaken))
    assert again.outcomes == {"rejected:overtaken": 1}
    sound(ledger.store)
