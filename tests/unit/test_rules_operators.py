"""What a person decides: release, discard, replay, a held fine let go (rules.md, 3 and 5)."""

from service.core.events import Discard, Event, Release, ReleaseFine, Replay
from service.core.ledger import FineKey, SourceKey
from service.core.payments import excess_credit_id
from tests.support.bursar import pays, refuses, reverses
from tests.support.given import ERP, HOLDS, UNI, cancels, creates, exports, table
from tests.support.in_memory import Ledger, moved, now, open_, transferred
from tests.support.view_store import sound

HELD = (creates(95_00), exports(terms=HOLDS), pays(100_00))
P1 = SourceKey(UNI, ERP, "p1")
F1 = FineKey(UNI, "F1")
RELEASE = Release(P1, False, F1, None)
DISCARD = Discard(P1, False, F1, None)


def test_a_released_overpayment_settles_the_fine_and_leaves_a_credit() -> None:
    ledger = Ledger(*HELD)
    done = ledger.store.fold(RELEASE)
    assert done.outcomes == {"applied": 1, "unparked:overpaid_held": 1}
    assert [moved(line) for line in done.transactions] == [
        ("payment", 95_00, 0, -95_00),
        ("credit", -5_00, -5_00, 0),
    ]
    assert now(ledger) == transferred(0, active=-5_00)
    assert ledger.fine(excess_credit_id(P1)).remaining == -5_00
    assert (ledger.payment_state(), ledger.waits()) == ("applied", {})
    sound(ledger.store)


def test_a_release_lets_the_reversal_behind_it_go_too() -> None:
    ledger = Ledger(*HELD, reverses())
    done = ledger.store.fold(RELEASE)
    kinds = [line.kind.value for line in done.transactions]
    assert kinds == ["payment", "credit", "reversal", "credit_cancelled"]
    assert now(ledger) == transferred(95_00)


def test_a_discarded_overpayment_is_rejected_and_so_is_the_reversal_behind_it() -> None:
    ledger = Ledger(*HELD, reverses())
    done = ledger.store.fold(DISCARD)
    assert done.outcomes["rejected:discarded"] == 1
    assert ledger.reasons() == ["discarded", "original_rejected"]
    assert done.transactions == ()
    assert (ledger.payment_state(), ledger.waits()) == ("rejected", {})
    assert now(ledger) == transferred(95_00)


def test_an_overpayment_released_after_its_fine_was_refused_waits_for_the_next_export() -> None:
    ledger = Ledger(*HELD, refuses())
    assert ledger.store.fold(RELEASE).outcomes == {"parked:not_exported": 1}
    assert ledger.waits() == {"p1": "not_exported"}
    ledger.take(exports(batch=2))
    assert now(ledger) == transferred(0, active=-5_00)


def test_an_overpayment_released_after_its_fine_was_closed_is_rejected() -> None:
    ledger = Ledger(*HELD, refuses(), cancels())
    ledger.store.fold(RELEASE)
    assert ledger.reasons() == ["not_live"]
    assert ledger.waits() == {}


@table(
    "event",
    ("released again", RELEASE),
    ("discarded again", DISCARD),
    ("a fine nobody knows", ReleaseFine(FineKey(UNI, "F9"))),
    ("a fine that was exported", ReleaseFine(F1)),
)
def test_a_decision_that_comes_too_late_changes_nothing(event: Event) -> None:
    ledger = Ledger(*HELD)
    ledger.store.fold(RELEASE)
    before = ledger.store.copy()
    done = ledger.store.fold(event)
    assert done.outcomes == {"gone": 1}
    before.outcomes, ledger.store.outcomes = {}, {}
    assert ledger.store == before


def test_a_discarded_payment_for_an_unknown_fine_keeps_its_identity() -> None:
    ledger = Ledger(pays(95_00))
    assert ledger.store.fold(DISCARD).outcomes == {"rejected:discarded": 1}
    ledger.take(pays(95_00))
    ledger.take(creates(95_00))
    assert ledger.reasons() == ["discarded"]
    assert ledger.store.outcomes["repeat"] == 1
    assert ledger.waits() == {}


def test_a_discarded_change_for_an_unknown_fine_is_rejected() -> None:
    ledger = Ledger(cancels())
    ledger.store.fold(Discard(cancels().key, True, F1, None))
    assert (ledger.reasons(), ledger.waits()) == (["discarded"], {})
    ledger.take(creates(95_00))
    assert now(ledger) == open_(95_00)


def test_a_refused_fine_is_let_go_without_a_transaction() -> None:
    ledger = Ledger(creates(95_00), exports(), refuses())
    done = ledger.store.fold(ReleaseFine(F1))
    assert done.transactions == ()
    assert done.outcomes == {"released": 1}
    assert (ledger.fine().refused_reason, ledger.fine().released) == (None, True)
    assert now(ledger) == open_(95_00)


def test_a_fine_refused_once_more_is_held_back_once_more() -> None:
    ledger = Ledger(creates(95_00), exports(), refuses())
    ledger.store.fold(ReleaseFine(F1))
    ledger.take(exports(batch=2))
    ledger.take(refuses(batch=2, response_id="a2"))
    assert ledger.fine().refused_reason == "file unreadable"


def test_a_replayed_record_is_decided_afresh_under_its_own_identity() -> None:
    early = pays(95_00, None, line="1001")
    ledger = Ledger(early, creates(95_00), exports())
    assert ledger.reasons() == ["unknown_line"]
    ledger.take(early)
    assert ledger.store.outcomes["repeat"] == 1
    ledger.store.fold(Replay(early))
    assert now(ledger) == transferred(0)
    assert ledger.payment_state() == "applied"
    ledger.store.fold(Replay(early))
    assert ledger.store.outcomes["repeat"] == 2
    assert now(ledger) == transferred(0)


def test_a_replay_of_another_content_is_a_conflict_as_before() -> None:
    ledger = Ledger(creates(95_00), exports(), pays(95_00, None, line="7"))
    ledger.store.fold(Replay(pays(95_00)))
    assert ledger.reasons() == ["unknown_line", "payment_conflict"]
    assert now(ledger) == transferred(95_00)


def test_a_replay_that_fails_again_is_rejected_again() -> None:
    lost = pays(95_00, None, line="7")
    ledger = Ledger(lost)
    ledger.store.fold(Replay(lost))
    assert ledger.reasons() == ["unknown_line", "unknown_line"]


def test_a_replayed_response_is_decided_afresh() -> None:
    early = refuses()
    ledger = Ledger(creates(95_00), early, exports())
    assert ledger.reasons() == ["unknown_batch"]
    ledger.store.fold(Replay(early))
    assert now(ledger) == open_(95_00)


def test_a_replayed_change_is_decided_afresh() -> None:
    late = cancels()
    ledger = Ledger(creates(95_00), exports(), late, refuses())
    assert ledger.reasons() == ["already_exported"]
    ledger.store.fold(Replay(late))
    assert now(ledger).status == "Closed"
