"""What a person decides: release, discard, replay, a held fine let go (rules.md, 3 and 5)."""

from service.core.events import Discard, Event, Release, ReleaseFine, Replay
from service.core.ledger import FineKey, SourceKey
from service.core.payments import excess_credit_id
from tests.support.bursar import pays, refuses, reverses
from tests.support.given import ERP, HOLDS, UNI, cancels, creates, exports, table
from tests.support.in_memory import Books, moved, now, open_, transferred
from tests.support.view_store import sound

HELD = (creates(95_00), exports(terms=HOLDS), pays(100_00))
P1 = SourceKey(UNI, ERP, "p1")
F1 = FineKey(UNI, "F1")
RELEASE = Release(P1, False, F1, None)
DISCARD = Discard(P1, False, F1, None)


def test_a_released_overpayment_settles_the_fine_and_leaves_a_credit() -> None:
    books = Books(*HELD)
    done = books.store.fold(RELEASE)
    assert [moved(line) for line in done.transactions] == [
        ("payment", 95_00, 0, -95_00),
        ("credit", -5_00, -5_00, 0),
    ]
    assert now(books) == transferred(0, active=-5_00)
    assert books.fine(excess_credit_id(P1)).remaining == -5_00
    assert (books.payment_state(), books.waits()) == ("applied", {})
    sound(books.store)


def test_a_release_lets_the_reversal_behind_it_go_too() -> None:
    books = Books(*HELD, reverses())
    done = books.store.fold(RELEASE)
    kinds = [line.kind.value for line in done.transactions]
    assert kinds == ["payment", "credit", "reversal", "credit_cancelled"]
    assert now(books) == transferred(95_00)


def test_a_discarded_overpayment_is_rejected_and_so_is_the_reversal_behind_it() -> None:
    books = Books(*HELD, reverses())
    done = books.store.fold(DISCARD)
    assert books.reasons() == ["discarded", "original_rejected"]
    assert done.transactions == ()
    assert (books.payment_state(), books.waits()) == ("rejected", {})
    assert now(books) == transferred(95_00)


def test_an_overpayment_released_after_its_fine_was_refused_waits_for_the_next_export() -> None:
    books = Books(*HELD, refuses())
    books.store.fold(RELEASE)
    assert books.waits() == {"p1": "not_exported"}
    books.take(exports(batch=2))
    assert now(books) == transferred(0, active=-5_00)


def test_an_overpayment_released_after_its_fine_was_closed_is_rejected() -> None:
    books = Books(*HELD, refuses(), cancels())
    books.store.fold(RELEASE)
    assert books.reasons() == ["not_live"]
    assert books.waits() == {}


@table(
    "event",
    ("released again", RELEASE),
    ("discarded again", DISCARD),
    ("a fine nobody knows", ReleaseFine(FineKey(UNI, "F9"))),
    ("a fine that was exported", ReleaseFine(F1)),
)
def test_a_decision_that_comes_too_late_changes_nothing(event: Event) -> None:
    books = Books(*HELD)
    books.store.fold(RELEASE)
    before = books.store.copy()
    done = books.store.fold(event)
    assert done.outcomes == {"gone": 1}
    before.outcomes, books.store.outcomes = {}, {}
    assert books.store == before


def test_a_discarded_payment_for_an_unknown_fine_keeps_its_identity() -> None:
    books = Books(pays(95_00))
    books.store.fold(DISCARD)
    books.take(pays(95_00))
    books.take(creates(95_00))
    assert books.reasons() == ["discarded"]
    assert books.store.outcomes["repeat"] == 1
    assert books.waits() == {}


def test_a_refused_fine_is_let_go_without_a_transaction() -> None:
    books = Books(creates(95_00), exports(), refuses())
    done = books.store.fold(ReleaseFine(F1))
    assert done.transactions == ()
    assert done.outcomes == {"released": 1}
    assert (books.fine().refused_reason, books.fine().released) == (None, True)
    assert now(books) == open_(95_00)


def test_a_fine_refused_once_more_is_held_back_once_more() -> None:
    books = Books(creates(95_00), exports(), refuses())
    books.store.fold(ReleaseFine(F1))
    books.take(exports(batch=2))
    books.take(refuses(batch=2, response_id="a2"))
    assert books.fine().refused_reason == "file unreadable"


def test_a_replayed_record_is_decided_afresh_under_its_own_identity() -> None:
    early = pays(95_00, None, line="1001")
    books = Books(early, creates(95_00), exports())
    assert books.reasons() == ["unknown_line"]
    books.take(early)
    assert books.store.outcomes["repeat"] == 1
    books.store.fold(Replay(early))
    assert now(books) == transferred(0)
    assert books.payment_state() == "applied"
    books.store.fold(Replay(early))
    assert books.store.outcomes["repeat"] == 2
    assert now(books) == transferred(0)


def test_a_replay_of_another_content_is_a_conflict_as_before() -> None:
    books = Books(creates(95_00), exports(), pays(95_00, None, line="7"))
    books.store.fold(Replay(pays(95_00)))
    assert books.reasons() == ["unknown_line", "payment_conflict"]
    assert now(books) == transferred(95_00)


def test_a_replay_that_fails_again_is_rejected_again() -> None:
    lost = pays(95_00, None, line="7")
    books = Books(lost)
    books.store.fold(Replay(lost))
    assert books.reasons() == ["unknown_line", "unknown_line"]


def test_a_replayed_response_is_decided_afresh() -> None:
    early = refuses()
    books = Books(creates(95_00), early, exports())
    assert books.reasons() == ["unknown_batch"]
    books.store.fold(Replay(early))
    assert now(books) == open_(95_00)


def test_a_replayed_change_is_decided_afresh() -> None:
    late = cancels()
    books = Books(creates(95_00), exports(), late, refuses())
    assert books.reasons() == ["already_exported"]
    books.store.fold(Replay(late))
    assert now(books).status == "Closed"
