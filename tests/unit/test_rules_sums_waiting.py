"""Sums without a line that wait: what they wait for, and what sets them free (rules.md, 3b)."""

from service.core.ledger import SourceKey
from service.core.shares import LumpRule
from tests.support.bursar import pays, pays_sum, refuses, reverses, tells
from tests.support.given import BOTH, ERP, HOLDS, ONLY, REJECTS, UNI, creates, exports
from tests.support.in_memory import Ledger, moved, outcome_of_event
from tests.support.view_store import sound
from tests.unit.test_rules_sums import TWO, oldest_first


def test_a_sum_that_waits_is_tried_once_after_all_fines_of_a_batch() -> None:
    ledger = oldest_first(pays_sum(45_00), *TWO[:2])
    done = ledger.take(TWO[2])
    assert [(line.fine.facts.fine_id, line.kind.value) for line in done.transactions] == [
        ("F1", "export_and_paid"),
        ("F2", "export_and_paid"),
        ("F1", "payment"),
        ("F2", "payment"),
    ]
    assert done.outcomes["unparked:unallocated"] == 1
    assert (ledger.fine().outstanding, ledger.fine("F2").outstanding) == (0, 5_00)
    sound(ledger.store)


def test_what_is_parked_for_the_fines_of_a_batch_comes_before_a_sum_that_is_older() -> None:
    ledger = oldest_first(*TWO[:2], pays_sum(50_00), pays(30_00, "F2", payment_id="p2"))
    done = ledger.take(TWO[2])
    posted = [(line.fine.facts.fine_id, *moved(line)[:2]) for line in done.transactions[2:]]
    assert posted[:2] == [("F2", "payment", 30_00), ("F1", "payment", 20_00)]
    assert posted[2][1:] == ("credit", -30_00)


def test_sums_are_tried_from_the_oldest_to_the_newest() -> None:
    first, second = pays_sum(15_00), pays_sum(15_00, payment_id="p0")
    ledger = oldest_first(first, second, creates(20_00), exports())
    sums = [ledger.store.sums[event.key].parts for event in (first, second)]
    assert [parts[0].amount for parts in sums] == [15_00, 5_00]


def test_a_sum_that_waits_is_not_rejected_for_its_excess() -> None:
    ledger = oldest_first(pays_sum(30_00), creates(20_00), exports(terms=REJECTS))
    assert ledger.waits() == {"p1": "unallocated"}
    assert ledger.reasons() == []
    assert ledger.fine().outstanding == 20_00


def test_a_sum_that_waits_is_not_held_for_its_excess() -> None:
    ledger = oldest_first(pays_sum(30_00), creates(20_00), exports(terms=HOLDS))
    assert ledger.waits() == {"p1": "unallocated"}
    ledger.take(creates(10_00, "F2"))
    ledger.take(exports("F2", batch=2))
    assert ledger.waits() == {}
    assert (ledger.fine().outstanding, ledger.fine("F2").outstanding) == (0, 0)


def test_a_sum_pays_the_fine_of_an_earlier_batch_before_that_of_the_new_one() -> None:
    ledger = oldest_first(pays_sum(25_00), creates(20_00), exports(terms=REJECTS))
    ledger.take(creates(10_00, "F2"))
    ledger.take(exports("F2", batch=2, terms=REJECTS))
    assert (ledger.fine().outstanding, ledger.fine("F2").outstanding) == (0, 5_00)


def test_a_smaller_sum_behind_one_that_waits_on_is_applied() -> None:
    ledger = oldest_first(
        pays_sum(30_00), pays_sum(5_00, payment_id="p2"), creates(20_00), exports(terms=REJECTS)
    )
    assert ledger.waits() == {"p1": "unallocated"}
    assert ledger.fine().outstanding == 15_00


def test_only_what_makes_something_outstanding_sets_a_sum_free() -> None:
    """The fine that rejects the excess is paid: the sum could be applied, and is not tried."""
    ledger = oldest_first(
        pays_sum(30_00),
        creates(20_00),
        exports(terms=REJECTS),
        creates(5_00, "F2"),
        exports("F2", batch=2),
    )
    for event in (pays(20_00, payment_id="p2"), tells("invoiced", "F2")):
        ledger.take(event)
        assert ledger.waits() == {"p1": "unallocated"}
    ledger.take(creates(1_00, "F3"))
    ledger.take(exports("F3", batch=3))
    assert ledger.waits() == {}


def test_an_export_that_leaves_nothing_outstanding_sets_no_sum_free() -> None:
    ledger = oldest_first(pays_sum(5_00), creates(20_00), exports(terms=ONLY))
    ledger.take(creates(-1_00, "C1"))
    ledger.take(exports("C1", batch=2))
    assert ledger.waits() == {"p1": "unallocated"}


def test_a_refusal_sets_no_sum_free_and_the_next_export_does() -> None:
    ledger = oldest_first(*TWO, refuses(), pays_sum(10_00))
    assert ledger.waits() == {"p1": "unallocated"}
    ledger.take(exports("F1", "F2", terms=BOTH, batch=2))
    assert ledger.fine().outstanding == 10_00


def test_a_reversal_sets_a_sum_free() -> None:
    ledger = oldest_first(*TWO, pays(50_00, payment_id="p0", fine_id="F1"), pays_sum(40_00))
    ledger.take(pays_sum(5_00, payment_id="p3"))
    assert ledger.waits() == {"p3": "unallocated"}
    done = ledger.take(reverses("p0"))
    assert [(line.fine.facts.fine_id, line.kind.value) for line in done.transactions][-1] == (
        "F1",
        "payment",
    )
    assert ledger.waits() == {}


def test_a_sum_pays_at_once_what_a_reversal_in_the_same_poll_makes_outstanding() -> None:
    events = (reverses("p0"), pays_sum(10_00, payment_id="p3"))
    start = (creates(20_00), exports(), pays(20_00, payment_id="p0"), pays_sum(5_00))
    singly, together = oldest_first(*start), oldest_first(*start)
    for event in events:
        singly.take(event)
    together.store.fold(*events)
    assert singly.store.fines == together.store.fines
    assert singly.store.sums == together.store.sums
    assert singly.fine().outstanding == 5_00


def test_a_sum_that_a_record_sets_free_pays_before_the_next_record_of_the_poll() -> None:
    start = (creates(20_00), exports(), pays(20_00, payment_id="p0"), pays_sum(20_00))
    ledger = oldest_first(*start)
    done = ledger.store.fold(reverses("p0"), pays(20_00, payment_id="p2"))
    assert [moved(line)[0] for line in done.transactions] == ["reversal", "payment", "credit"]
    assert ledger.waits() == {}


def test_a_sum_and_its_reversal_that_wait_leave_the_fine_to_the_next_sum() -> None:
    ledger = oldest_first(
        pays_sum(20_00), reverses(), pays_sum(20_00, payment_id="p2"), creates(20_00)
    )
    assert ledger.waits() == {"p1": "unallocated", "r1": "unknown_original", "p2": "unallocated"}
    done = ledger.take(exports())
    assert [line.kind.value for line in done.transactions] == [
        "export_and_paid",
        "payment",
        "reversal",
        "payment",
    ]
    assert ledger.waits() == {}
    assert ledger.fine().payments_live == 1
    sound(ledger.store)


def test_a_sum_keeps_when_it_was_tried_last() -> None:
    ledger = oldest_first(pays_sum(30_00))
    key = SourceKey(UNI, ERP, "p1")
    assert (ledger.store.sums[key].tried, ledger.store.sums[key].waits) == (0, True)
    ledger.take(creates(20_00))
    assert ledger.store.sums[key].tried == 0
    ledger.take(exports(terms=REJECTS))
    assert ledger.store.sums[key].tried == ledger.account().sequence == 2


def test_a_sum_that_is_held_is_not_among_those_that_wait_for_an_export() -> None:
    ledger = Ledger(pays_sum(30_00))
    lump = ledger.store.sums[SourceKey(UNI, ERP, "p1")]
    assert (lump.rule, lump.waits) == (LumpRule.HOLD, False)


def test_sums_of_one_account_leave_the_other_accounts_alone() -> None:
    ledger = oldest_first(
        pays_sum(10_00),
        pays_sum(10_00, "P2", payment_id="p2"),
        creates(20_00),
        creates(20_00, "F2", patron="P2"),
        exports(),
    )
    assert ledger.waits() == {"p2": "unallocated"}
    assert outcome_of_event(ledger.take(creates(1_00, "F3"))) == "applied"
