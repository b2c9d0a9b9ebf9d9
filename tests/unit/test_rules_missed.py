"""Records that wait although what they wait for is there: two connections decided at one instant.

Whatever comes next for the same fine tries them first, as they are older (rules.md, 3).
"""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from service.core import rules
from service.core.events import TakeLines
from service.core.ledger import Cause, FineKey, LibraryRef, PaymentRef
from service.core.parked import ParkedFailure, split_by_parked_record
from service.core.workspace import Changes
from tests.support.bursar import pays, reverses, tells
from tests.support.given import (
    LOST,
    LOST_TRANSFERS,
    UNI,
    creates,
    desk_pays,
    disputes,
    exports,
    origin,
    table,
    waives,
)
from tests.support.in_memory import Ledger, Step, moved, now, transferred
from tests.support.recovering import adopts, recovering


def missed(waiting: Sequence[Step], *steps: Step) -> Ledger:
    """The ledger after `steps`; `waiting` is parked as if another connection had missed them."""
    ledger = Ledger(*waiting)
    parked = dict(ledger.store.parked)
    ledger.store.parked.clear()
    for step in steps:
        ledger.take(step)
    ledger.store.parked |= parked
    return ledger


@table(
    "newer",
    ("by fine", pays(95_00, payment_id="p2")),
    ("by line", pays(95_00, fine_id=None, line="1001", payment_id="p2")),
)
def test_a_newer_payment_leaves_the_older_one_its_turn(newer: Step) -> None:
    ledger = missed((pays(60_00),), creates(95_00), exports())
    done = ledger.take(newer)
    assert [moved(line) for line in done.transactions] == [
        ("payment", 60_00, 0, -60_00),
        ("payment", 35_00, 0, -35_00),
        ("credit", -60_00, -60_00, 0),
    ]


def test_a_reversal_that_names_its_payment_alone_leaves_an_older_one_its_turn() -> None:
    older = pays(35_00, payment_id="p2")
    ledger = missed((older,), creates(95_00), exports(), pays(60_00))
    done = ledger.take(reverses())
    assert [moved(line) for line in done.transactions] == [
        ("payment", 35_00, 0, -35_00),
        ("reversal", 60_00, 0, 60_00),
    ]


def test_a_change_and_a_payment_may_wait_under_the_same_source_and_id() -> None:
    change = replace(waives(5_00), key=pays(90_00).key)
    ledger = Ledger()
    ledger.store.fold(change, pays(90_00))
    assert len(ledger.store.parked) == 2
    done = ledger.take(creates(95_00))
    assert [moved(line) for line in done.transactions] == [
        ("fine", 95_00, 95_00, 0),
        ("waiver", 5_00, -5_00, 0),
    ]
    ledger.take(exports())
    assert ledger.store.parked == {}
    assert now(ledger) == transferred(0)


def test_5b_4_a_sweep_decides_what_waits_for_a_credit_whose_line_its_fine_has_freed() -> None:
    waiting = (desk_pays(30_00), pays(20_00, "C1"))
    credit = creates(-20_00, "C1", credit_of="F1")
    ledger = missed(waiting, creates(95_00, type_=LOST), credit)
    lines = {"F1": 65_00, "C1": -20_00}
    adopts(ledger.store, exports("F1", "C1"), lines, closed=lines.keys())
    done = ledger.store.fold(queues=[FineKey(UNI, "F1")])
    assert [(line.fine.facts.fine_id, moved(line)[0]) for line in done.transactions] == [
        ("F1", "desk_payment"),
        ("F1", "export"),
        ("C1", "export"),
        ("C1", "payment_noted"),
    ]
    assert ledger.waits() == {}


def test_a_waiting_record_that_cannot_be_decided_is_named() -> None:
    """So that it can be parked apart, and what came for its fine goes on."""
    ledger = missed((pays(60_00),), creates(95_00), exports())
    fine = ledger.fine()
    ledger.store.fines[fine.facts.key] = replace(fine, terms=None)
    with pytest.raises(ParkedFailure) as failure:
        rules.fold(ledger.store.view(), [], queues=[fine.facts.key])
    assert failure.value.keys == (("payment", pays(60_00).key),)
    assert isinstance(failure.value.__cause__, AssertionError)


def test_all_waiting_records_that_cannot_be_decided_are_named() -> None:
    """So that one commit more is enough, however many there are."""
    payments = (pays(60_00), pays(10_00, payment_id="p2"))
    ledger = missed(payments, creates(95_00), exports())
    fine = ledger.fine()
    ledger.store.fines[fine.facts.key] = replace(fine, terms=None)
    with pytest.raises(ParkedFailure, match=r"^2 parked records$") as failure:
        rules.fold(ledger.store.view(), [], queues=[fine.facts.key])
    assert failure.value.keys == tuple(("payment", payment.key) for payment in payments)


def test_what_fails_behind_a_record_that_has_changed_something_is_not_named() -> None:
    """It may fail for that change alone, and is decided again without it."""
    ledger = recovering(creates(95_00), exports(), pays(95_00), adopted=[(exports(batch=2), 95_00)])
    ledger.store.fold(TakeLines(FineKey(UNI, "F1")))
    (key,) = ledger.store.lines
    del ledger.store.lines[key]  # it has to count as refused when nothing is paid any more
    waiting = Ledger(pays(95_00), reverses(), tells("invoiced"))
    ledger.store.parked |= waiting.store.parked
    del ledger.store.parked["payment", pays(95_00).key]  # the other connection has applied it
    with pytest.raises(ParkedFailure) as failure:
        rules.fold(ledger.store.view(), [], queues=[FineKey(UNI, "F1")])
    assert failure.value.keys == (("payment", reverses().key),)


def test_what_was_set_free_is_told_from_what_the_events_did() -> None:
    """Each record's share of a fold, so that one that makes the database fail can stand alone."""
    ledger = missed((pays(60_00), disputes()), creates(95_00), exports())
    conflict = replace(pays(1, currency="EUR"), origin=origin("bursar-payment", 9))
    steps = [pays(35_00, payment_id="p2"), conflict]
    events, freed = split_by_parked_record(rules.fold(ledger.store.view(), steps))
    assert shares(events) == (["p2"], ["payment_conflict"])
    assert {key[1].id: shares(part) for key, part in freed.items()} == {
        "p1": (["p1"], []),
        "c1": ([], ["already_exported"]),
    }


def test_what_a_change_that_was_set_free_did_is_its_own() -> None:
    ledger = missed((waives(5_00),), creates(95_00))
    events, freed = split_by_parked_record(
        rules.fold(ledger.store.view(), [waives(1_00, change_id="c2")])
    )
    assert shares(events) == (["c2"], [])
    assert {key[1].id: shares(part) for key, part in freed.items()} == {"c1": (["c1"], [])}


def test_a_loan_is_closed_by_an_export_and_by_nothing_that_it_sets_free() -> None:
    ledger = Ledger(creates(95_00, type_=LOST, loan_id="L1"), pays(60_00))
    terms = replace(LOST_TRANSFERS, close_paid_lost_loan=True)
    done = rules.fold(ledger.store.view(), exports(terms=terms).fines)
    events, freed = split_by_parked_record(done)
    assert shares(events) == ([None], [])
    assert [closed.loan_id for closed in events.loans_closed] == ["L1"]
    (part,) = freed.values()
    assert shares(part) == (["p1"], [])
    assert part.loans_closed == ()


def shares(part: Changes) -> tuple[list[str | None], list[str]]:
    """The ids of what caused the transactions, and why records were rejected."""
    return (
        [_cause_id(line.cause) for line in part.transactions],
        [rejection.reason.value for rejection in part.rejections],
    )


def _cause_id(cause: Cause) -> str | None:
    match cause:
        case PaymentRef(payment_id=name) | LibraryRef(change_id=name):
            return name
        case _:
            return None
