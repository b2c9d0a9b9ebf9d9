"""Sums for the accounts of fines whose adopted lines wait after a restore (rules.md, 5b)."""

from service.core.events import DropLine
from service.core.ledger import FineKey, LineKey, SourceKey
from service.core.payments import excess_credit_id
from service.core.shares import LumpRule
from tests.support.bursar import pays_sum
from tests.support.given import ERP, LOST, UNI, adjusts, creates, exports
from tests.support.in_memory import Ledger, Step, moved, now, transferred
from tests.support.recovering import recovering
from tests.support.view_store import sound


def with_sums(patron: str | None, *steps: Step) -> Ledger:
    """Two lines of P1 that wait; the institution lets sums pay the oldest fines first."""
    two = {"F1": 10_00, "F2": 20_00}
    ledger = recovering(adopted=[(exports("F1", "F2"), two)], patron=patron)
    ledger.store.lump_rules[UNI] = LumpRule.OLDEST_FIRST
    for step in steps:
        ledger.take(step)
    return ledger


def test_a_sum_waits_until_all_lines_of_its_account_are_taken() -> None:
    ledger = with_sums("P1", pays_sum(25_00), creates(10_00))
    assert ledger.waits() == {"p1": "unallocated"}
    done = ledger.take(creates(20_00, "F2"))
    assert [(line.fine.facts.fine_id, line.amount) for line in done.transactions[2:]] == [
        ("F1", 10_00),
        ("F2", 15_00),
    ]
    sound(ledger.store)


def test_a_sum_waits_for_the_lines_of_fines_that_are_known() -> None:
    ledger = with_sums(None, creates(10_00), creates(21_00, "F2"), pays_sum(25_00))
    assert ledger.waits() == {"p1": "unallocated"}
    ledger.take(adjusts(20_00, "F2"))
    assert ledger.fine("F2").outstanding == 5_00


def test_5b_9_a_sum_is_tried_again_when_a_line_is_taken_that_closes_its_fine() -> None:
    """Nothing becomes outstanding then: the line was all that the sum has waited for."""
    lines = [(exports("F2"), 20_00)]
    ledger = recovering(adopted=lines, closed=["F2"], patron="P1")
    ledger.store.lump_rules[UNI] = LumpRule.OLDEST_FIRST
    for step in (creates(10_00), exports(batch=2), pays_sum(10_00)):
        ledger.take(step)
    assert ledger.waits() == {"p1": "unallocated"}
    ledger.take(creates(20_00, "F2", type_=LOST))
    assert ledger.waits() == {}
    assert now(ledger) == transferred(0)
    sound(ledger.store)


def test_5b_12_a_sum_is_tried_again_when_the_line_it_waited_for_is_dropped() -> None:
    ledger = with_sums("P1", creates(10_00), creates(21_00, "F2"), pays_sum(10_00))
    assert ledger.waits() == {"p1": "unallocated"}
    ledger.store.fold(DropLine(LineKey(UNI, "1002"), FineKey(UNI, "F2")))
    assert ledger.waits() == {}
    assert ledger.fine().outstanding == 0
    sound(ledger.store)


def test_a_sum_of_another_account_does_not_wait() -> None:
    ledger = with_sums("P1", creates(5_00, "F3", patron="P2"))
    ledger.take(exports("F3", batch=2))
    ledger.take(pays_sum(5_00, "P2"))
    assert now(ledger, "F3") == transferred(0)


def test_5b_9_a_sum_does_not_wait_for_the_line_of_the_credit_that_it_makes() -> None:
    credit = excess_credit_id(SourceKey(UNI, ERP, "p1"))
    lines = [(exports(), 10_00), (exports(credit, batch=2), -5_00)]
    ledger = recovering(adopted=lines, patron="P1")
    ledger.store.lump_rules[UNI] = LumpRule.OLDEST_FIRST
    ledger.take(creates(10_00))
    done = ledger.take(pays_sum(15_00))
    assert ledger.waits() == {}
    assert [moved(line)[0] for line in done.transactions] == [
        "payment",
        "credit",
        "export_and_paid",
    ]
    sound(ledger.store)


def test_sums_pay_the_fines_of_adopted_lines_in_the_order_of_their_exports() -> None:
    two = [(exports(), 10_00), (exports("F2", batch=2), 20_00)]
    ledger = recovering(adopted=two, patron="P1")
    ledger.store.lump_rules[UNI] = LumpRule.OLDEST_FIRST
    for step in (creates(20_00, "F2"), creates(10_00), pays_sum(12_00)):
        ledger.take(step)
    assert (ledger.fine().outstanding, ledger.fine("F2").outstanding) == (0, 18_00)
