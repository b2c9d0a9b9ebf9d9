"""Reversals that wait, and what waits behind them (rules.md, 3, rows 5 and 14)."""

from collections.abc import Sequence
from dataclasses import replace

from service.core import rules
from service.core.ledger import FineKey, SourceKey
from tests.support.bursar import pays, reverses
from tests.support.given import (
    CREDIT_ID,
    ERP,
    EXPORTED,
    FINE,
    HOLDS,
    UNI,
    creates,
    exports,
    table,
    waives,
)
from tests.support.in_memory import Ledger, Step, now, transferred

OVERPAID = (*EXPORTED, pays(100_00))


def test_a_reversal_ahead_of_its_payment_and_its_fine_waits_for_both() -> None:
    ledger = Ledger(reverses())
    assert ledger.waits() == {"r1": "unknown_original"}
    ledger.take(pays(95_00))
    assert ledger.waits() == {"r1": "unknown_original", "p1": "unknown_fine"}
    ledger.take(creates(95_00))
    assert ledger.waits() == {"r1": "unknown_original", "p1": "not_exported"}
    done = ledger.take(exports())
    kinds = [line.kind.value for line in done.transactions]
    assert kinds == ["export_and_paid", "payment", "reversal"]
    assert now(ledger) == transferred(95_00)
    assert ledger.waits() == {}


def test_a_reversal_ahead_of_its_payment_applies_right_after_it() -> None:
    ledger = Ledger(*EXPORTED, reverses())
    done = ledger.take(pays(95_00))
    assert [line.kind.value for line in done.transactions] == ["payment", "reversal"]
    assert now(ledger) == transferred(95_00)


def test_a_reversal_behind_a_payment_that_is_rejected_is_rejected_too() -> None:
    ledger = Ledger(*EXPORTED, reverses(currency="EUR"))
    ledger.take(pays(1, currency="EUR"))
    assert ledger.reasons() == ["original_rejected", "currency_mismatch"] or ledger.reasons() == [
        "currency_mismatch",
        "original_rejected",
    ]
    assert ledger.waits() == {}


def test_a_reversal_behind_a_held_payment_stays_behind_it() -> None:
    ledger = Ledger(*FINE, exports(terms=HOLDS), pays(95_01), reverses())
    ledger.store.fold(queues=[ledger.fine().facts.key])
    assert ledger.waits() == {"p1": "overpaid_held", "r1": "unknown_original"}


def test_a_reversal_stays_in_its_queue_where_its_parked_original_is_not_read() -> None:
    """As for a fine that does not exist: its queue is not read, but the reversal may be."""
    ledger = Ledger(pays(95_00), reverses())
    view = ledger.store.view()
    alone = {key: item for key, item in view.parked.items() if key[1].id == "r1"}
    done = rules.fold(replace(view, parked=alone), (), [FineKey(UNI, "F1")])
    assert (done.parked.changed, done.parked.removed) == ((), {})


def test_a_reversal_of_a_parked_reversal_falls_when_that_one_applies() -> None:
    ledger = Ledger(reverses("r1", payment_id="r2"), reverses("p1", payment_id="r1"))
    assert ledger.waits() == {"r2": "unknown_original", "r1": "unknown_original"}
    ledger.take(pays(95_00))
    ledger.take(creates(95_00))
    done = ledger.take(exports())
    kinds = [line.kind.value for line in done.transactions]
    assert kinds == ["export_and_paid", "payment", "reversal"]
    assert ledger.reasons() == ["not_reversible"]
    assert ledger.waits() == {}


def test_of_two_reversals_behind_one_payment_the_older_counts() -> None:
    ledger = Ledger(*EXPORTED, reverses(payment_id="r1"), reverses(payment_id="r2"))
    ledger.take(pays(95_00))
    assert (ledger.payment_state("r1"), ledger.payment_state("r2")) == ("applied", "rejected")
    assert ledger.reasons() == ["already_reversed"]


def test_two_reversals_of_each_other_wait_for_ever() -> None:
    ledger = Ledger(reverses("r2", payment_id="r1"), reverses("r1", payment_id="r2"))
    assert ledger.waits() == {"r1": "unknown_original", "r2": "unknown_original"}
    ledger.store.fold(queues=[SourceKey(UNI, ERP, "r1"), SourceKey(UNI, ERP, "r2")])
    assert ledger.waits() == {"r1": "unknown_original", "r2": "unknown_original"}


def test_a_reversal_of_itself_waits() -> None:
    assert Ledger(reverses("r1", payment_id="r1")).waits() == {"r1": "unknown_original"}


def test_a_change_of_the_excess_credit_and_a_reversal_go_oldest_first() -> None:
    # Both wait for the payment that makes the credit; whichever came first has its way.
    used = Ledger(*EXPORTED, waives(5_00, CREDIT_ID), reverses(), pays(100_00))
    assert used.reasons() == ["credit_already_exported"]
    assert now(used) == transferred(0)
    reversed_first = Ledger(*EXPORTED, reverses(), waives(5_00, CREDIT_ID), pays(100_00))
    assert reversed_first.reasons() == ["already_closed"]
    assert now(reversed_first) == transferred(95_00)


@table(
    "ahead",
    ("the change first", (waives(5_00, CREDIT_ID), reverses())),
    ("the reversal first", (reverses(), waives(5_00, CREDIT_ID))),
)
def test_it_is_the_same_whether_the_payment_or_the_export_came_first(
    ahead: Sequence[Step],
) -> None:
    item = Ledger(*FINE, *ahead, exports(), pays(100_00))
    other = Ledger(*FINE, *ahead, pays(100_00), exports())
    assert item.reasons() == other.reasons()
    assert item.store.fines == other.store.fines
    assert item.store.transactions == other.store.transactions


def test_a_payment_for_an_excess_credit_may_come_before_the_credit() -> None:
    ledger = Ledger(*EXPORTED, pays(5_00, CREDIT_ID, payment_id="p2"))
    assert ledger.waits() == {"p2": "unknown_fine"}
    ledger.take(pays(100_00))
    assert ledger.waits() == {"p2": "not_exported"}
    ledger.take(exports(CREDIT_ID, batch=2))
    assert now(ledger, CREDIT_ID) == transferred(0)
    assert ledger.waits() == {}


def test_a_payment_waiting_for_a_credit_that_is_cancelled_is_rejected() -> None:
    ledger = Ledger(*OVERPAID, pays(5_00, CREDIT_ID, payment_id="p2"))
    assert ledger.waits() == {"p2": "not_exported"}
    ledger.take(reverses())
    assert ledger.reasons() == ["not_live"]
    assert ledger.waits() == {}


def test_reversals_that_came_before_each_other_wait_in_the_queue_of_the_fine() -> None:
    """Each learns its fine from the record that it reverses, which may be a reversal itself."""
    ledger = Ledger(
        pays(40_00),
        reverses("r2", payment_id="r3"),
        reverses("r1", payment_id="r2"),
        reverses("p1", payment_id="r1"),
    )
    fines = {item.event.key.id: item.fine_id for item in ledger.store.parked.values()}
    assert fines == {"p1": "F1", "r3": "F1", "r2": "F1", "r1": "F1"}
