"""Operators' decisions that meet nothing to decide: repeats, retries, records settled meanwhile."""

from service.core.events import Incoming, Release, Replay
from service.core.ledger import FineKey
from tests.support.bursar import pays, writes_off
from tests.support.given import HOLDS, UNI, creates, disputes, exports, table
from tests.support.in_memory import Ledger, moved, now, outcome_of_event, transferred
from tests.support.view_store import sound, tables


@table(
    "event",
    ("a payment", pays(40_00)),
    ("a write-off", writes_off(10_00, payment_id="w1")),
    ("a fine", creates(95_00)),
    ("a change", disputes("F2")),
)
def test_a_replay_of_what_was_applied_already_is_a_repeat(event: Incoming) -> None:
    history = (creates(95_00), creates(10_00, "F2"), exports())
    ledger = Ledger(*history, pays(40_00), writes_off(10_00, payment_id="w1"), disputes("F2"))
    before = dict(tables(ledger.store.copy()))
    done = ledger.store.fold(Replay(event))
    assert outcome_of_event(done) == "repeat"
    after = dict(tables(ledger.store))
    assert {name for name in before if before[name] != after[name]} == {"outcomes"}


def test_a_release_of_what_still_waits_changes_nothing() -> None:
    payment = pays(40_00)
    ledger = Ledger(creates(95_00), payment)
    done = ledger.store.fold(Release(payment.key, False, FineKey(UNI, "F1"), None))
    assert (done.transactions, done.outcomes) == ((), {})
    assert done.parked.changed == ()
    assert ledger.waits() == {"p1": "not_exported"}


def test_a_release_tries_what_is_due_but_was_missed() -> None:
    """The sweep would do it as well: a person need not wait for it."""
    payment = pays(95_00)
    ledger = Ledger(payment)
    waiting = dict(ledger.store.parked)
    ledger.store.parked.clear()  # as two connections that decide at the same instant
    for step in (creates(95_00), exports()):
        ledger.take(step)
    ledger.store.parked |= waiting
    done = ledger.store.fold(Release(payment.key, False, FineKey(UNI, "F1"), None))
    assert [moved(line) for line in done.transactions] == [("payment", 95_00, 0, -95_00)]
    assert now(ledger) == transferred(0)
    sound(ledger.store)


def test_a_release_of_another_record_leaves_the_held_one_to_its_own_decision() -> None:
    held = pays(100_00)
    ledger = Ledger(creates(95_00), exports(terms=HOLDS), held)
    other = pays(10_00, payment_id="p2", fine_id="F1")
    ledger.take(other)
    done = ledger.store.fold(Release(other.key, False, FineKey(UNI, "F1"), None))
    assert done.outcomes == {"gone": 1}
    assert ledger.waits() == {"p1": "overpaid_held"}
