"""What a person decides about sums without a line, and what undoes one (rules.md, 3b)."""

from collections.abc import Sequence

import pytest

from service.core.events import Discard, Release, Replay
from service.core.ledger import AccountKey, SourceKey
from service.core.payments import excess_credit_id
from service.core.shares import LumpRule, Share
from service.core.sums import InvalidAllocations
from tests.support.bursar import pays, pays_sum, refuses, reverses
from tests.support.given import (
    ERP,
    HOLDS,
    REJECTS,
    UNI,
    cancels,
    creates,
    disputes,
    exports,
    table,
    waives,
)
from tests.support.in_memory import Ledger, Step, check_not_applied, moved, outcome_of_event
from tests.support.view_store import sound
from tests.unit.test_rules_sums import TWO, oldest_first

KEY = SourceKey(UNI, ERP, "p1")
CREDIT = excess_credit_id(KEY)
TWICE = "a fine may be named only once"
AMOUNT = "an amount is not above zero, or more than is outstanding"
TOGETHER = "the amounts are together more than the sum"
NOT_OUTSTANDING = "a fine that is named is not outstanding in the account"


def released(*allocations: Share, patron: str = "P1") -> Release:
    return Release(KEY, False, None, None, AccountKey(UNI, patron, "USD"), allocations)


DISCARDED = Discard(KEY, False, None, None, AccountKey(UNI, "P1", "USD"))


def test_a_released_sum_pays_the_oldest_fines_first() -> None:
    ledger = Ledger(*TWO, pays_sum(25_00))
    done = ledger.store.fold(released())
    assert outcome_of_event(done) == "applied"
    assert [(line.fine.facts.fine_id, line.amount) for line in done.transactions] == [
        ("F1", 20_00),
        ("F2", 5_00),
    ]
    assert ledger.waits() == {}
    sound(ledger.store)


def test_a_released_sum_waits_for_what_is_exported_later() -> None:
    ledger = Ledger(creates(20_00), pays_sum(25_00))
    assert outcome_of_event(ledger.store.fold(released())) == "parked:unallocated"
    assert ledger.store.sums[KEY].rule is LumpRule.OLDEST_FIRST
    ledger.take(exports())
    assert ledger.waits() == {}
    assert ledger.fine().outstanding == 0


def test_a_released_sum_whose_excess_is_not_taken_waits_on() -> None:
    ledger = Ledger(creates(20_00), exports(terms=REJECTS), pays_sum(25_00))
    done = ledger.store.fold(released())
    assert outcome_of_event(done) == "parked:unallocated"
    assert done.transactions == ()
    assert ledger.reasons() == []


def test_named_fines_get_their_amounts_and_the_last_one_the_credit() -> None:
    ledger = Ledger(*TWO[:2], exports("F1", "F2", terms=REJECTS), pays_sum(40_00))
    done = ledger.store.fold(released(Share("F2", 25_00), Share("F1", 10_00)))
    assert [(line.fine.facts.fine_id, *moved(line)) for line in done.transactions] == [
        ("F2", "payment", 25_00, 0, -25_00),
        ("F1", "payment", 10_00, 0, -10_00),
        (CREDIT, "credit", -5_00, -5_00, 0),
    ]
    assert ledger.fine(CREDIT).facts.credit_of == "F1"
    lump = ledger.store.sums[KEY]
    assert lump.allocations == lump.parts == (Share("F2", 25_00), Share("F1", 10_00))
    sound(ledger.store)


def test_3b_9_a_named_fine_may_get_the_smallest_amount_that_there_is() -> None:
    ledger = Ledger(*TWO, pays_sum(40_00))
    ledger.store.fold(released(Share("F1", 1), Share("F2", 30_00)))
    assert ledger.fine().outstanding == 19_99
    assert ledger.fine(CREDIT).remaining == -9_99


@table(
    "allocations text",
    ("3b.9 a fine twice", (Share("F1", 1_00), Share("F1", 1_00)), TWICE),
    ("3b.9 more than is outstanding of a fine", (Share("F1", 20_01),), AMOUNT),
    ("3b.9 together more than the sum", (Share("F1", 20_00), Share("F2", 20_01)), TOGETHER),
    ("3b.9 nothing of a fine", (Share("F1", 0),), AMOUNT),
    ("3b.9 a fine of somebody else", (Share("X1", 1_00),), NOT_OUTSTANDING),
    ("3b.9 an open fine", (Share("F3", 1_00),), NOT_OUTSTANDING),
    ("3b.9 a credit", (Share("C1", 1_00),), NOT_OUTSTANDING),
    ("3b.9 an unknown fine", (Share("N/A", 1_00),), NOT_OUTSTANDING),
)
def test_a_release_that_cannot_be_carried_out_changes_nothing(
    allocations: Sequence[Share], text: str
) -> None:
    ledger = Ledger(
        *TWO,
        creates(9_00, "X1", patron="P2"),
        exports("X1", batch=2),
        creates(9_00, "F3"),
        creates(-9_00, "C1"),
        exports("C1", batch=3),
        pays_sum(40_00),
    )
    before = ledger.store.copy()
    with pytest.raises(InvalidAllocations, match=f"^{text}$"):
        ledger.store.fold(released(*allocations))
    assert ledger.store == before


def test_a_released_sum_that_was_held_for_its_excess_makes_a_credit() -> None:
    ledger = oldest_first(*TWO[:2], exports("F1", "F2", terms=HOLDS), pays_sum(60_00))
    assert ledger.waits() == {"p1": "overpaid_held"}
    done = ledger.store.fold(released())
    assert [line.kind.value for line in done.transactions] == ["payment", "payment", "credit"]
    assert ledger.account().active == -10_00


def test_all_of_a_held_sum_becomes_a_credit_if_nothing_is_outstanding_any_more() -> None:
    ledger = oldest_first(
        creates(20_00),
        exports(terms=HOLDS),
        pays_sum(60_00),
        creates(5_00, "F0"),
        exports("F0", batch=2),
        pays(20_00, payment_id="p2"),
        pays(5_00, "F0", payment_id="p3"),
    )
    done = ledger.store.fold(released())
    assert [moved(line) for line in done.transactions] == [("credit", -60_00, -60_00, 0)]
    credit = ledger.fine(CREDIT)
    assert credit.facts.credit_of == "F0"  # the one that was exported last
    assert (ledger.fine("F0").payments_live, ledger.store.sums[KEY].parts) == (1, ())
    again = ledger.take(reverses())
    assert [line.kind.value for line in again.transactions] == ["credit_cancelled"]
    sound(ledger.store)


def test_the_excess_of_a_sum_does_not_keep_the_line_of_its_fine() -> None:
    """The fine never owed it, so the bursar may refuse the fine without it."""
    ledger = oldest_first(
        creates(20_00), exports(terms=HOLDS), pays_sum(60_00), pays(20_00, payment_id="p2")
    )
    ledger.store.fold(released())
    for step in (reverses("p2"), exports(CREDIT, batch=2)):
        ledger.take(step)
    assert (ledger.fine(CREDIT).facts.credit_of, ledger.fine(CREDIT).status) == (
        "F1",
        "Transferred",
    )
    assert outcome_of_event(ledger.take(refuses("1001"))) == "applied"


def test_a_held_sum_without_any_transferred_fine_waits_on() -> None:
    ledger = oldest_first(creates(20_00), exports(terms=HOLDS), pays_sum(60_00), refuses())
    assert outcome_of_event(ledger.store.fold(released())) == "parked:overpaid_held"
    assert ledger.waits() == {"p1": "overpaid_held"}


def test_a_discarded_sum_is_rejected_and_never_tried_again() -> None:
    ledger = oldest_first(pays_sum(60_00), reverses())
    done = ledger.store.fold(DISCARDED)
    assert ledger.reasons() == ["discarded", "original_rejected"]
    assert "rejected:discarded" in done.outcomes
    assert ledger.store.sums[KEY].waits is False
    for step in TWO:
        ledger.take(step)
    assert ledger.fine().outstanding == 20_00


def test_a_decision_about_a_sum_that_is_gone_changes_nothing() -> None:
    ledger = oldest_first(*TWO, pays_sum(1_00))
    assert outcome_of_event(ledger.store.fold(released())) == "gone"
    assert outcome_of_event(ledger.store.fold(DISCARDED)) == "gone"


def test_a_replay_of_a_rejected_sum_keeps_the_setting_of_its_arrival() -> None:
    event = pays_sum(60_00)
    ledger = oldest_first(creates(20_00), exports(terms=REJECTS), event)
    assert ledger.reasons() == ["overpaid"]
    ledger.store.lump_rules[UNI] = LumpRule.HOLD
    ledger.take(creates(40_00, "F2"))
    ledger.take(exports("F2", batch=2))
    assert outcome_of_event(ledger.store.fold(Replay(event))) == "applied"
    assert ledger.fine("F2").outstanding == 0


REVERSIBLE = (*TWO, pays_sum(60_00))


def test_a_reversal_undoes_the_parts_in_their_order_and_then_the_credit() -> None:
    ledger = oldest_first(*TWO)
    before = {name: ledger.fine(name) for name in ("F1", "F2")}
    ledger.take(pays_sum(60_00))
    done = ledger.take(reverses(status_code="storno"))
    assert outcome_of_event(done) == "applied"
    assert [(line.fine.facts.fine_id, *moved(line)) for line in done.transactions] == [
        ("F1", "reversal", 20_00, 0, 20_00),
        ("F2", "reversal", 30_00, 0, 30_00),
        (CREDIT, "credit_cancelled", 10_00, 10_00, 0),
    ]
    for name, fine in before.items():
        after = ledger.fine(name)
        assert (after.outstanding, after.payments_live) == (fine.outstanding, 0)
        assert (after.considered, after.status_code) == (fine.considered, "storno")
    kept = ledger.store.payments[SourceKey(UNI, ERP, "r1")]
    assert (kept.fine_id, kept.applied, kept.reverses) == (None, 50_00, "p1")
    assert ledger.store.payments[KEY].reversed_by == "r1"
    sound(ledger.store)


@table(
    "history event outcome",
    ("3b.11 a fine", REVERSIBLE, reverses(fine_id="F1"), "reference_mismatch"),
    ("3b.11 a line", REVERSIBLE, reverses(line="1001"), "reference_mismatch"),
    ("3.3 another currency", REVERSIBLE, reverses(currency="EUR"), "currency_mismatch"),
    ("3b.12 a part", REVERSIBLE, reverses(amount=20_00), "amount_mismatch"),
    ("3b.12 more", REVERSIBLE, reverses(amount=60_01), "amount_mismatch"),
    ("3.6 twice", (*REVERSIBLE, reverses()), reverses(payment_id="r2"), "already_reversed"),
    (
        "3.8 its credit was exported",
        (*REVERSIBLE, exports(CREDIT, batch=2)),
        reverses(),
        "credit_already_exported",
    ),
    (
        "3.8 its credit was used",
        (*REVERSIBLE, waives(1_00, CREDIT)),
        reverses(),
        "credit_already_exported",
    ),
    (
        "3.8 its credit was cancelled",
        (*REVERSIBLE, cancels(CREDIT)),
        reverses(),
        "credit_already_exported",
    ),
)
def test_a_reversal_of_a_sum_that_is_rejected(
    history: Sequence[Step], event: Step, outcome: str
) -> None:
    ledger = oldest_first(*history)
    check_not_applied(ledger, event, f"rejected:{outcome}")


def test_a_sum_is_reversed_by_its_whole_amount_and_with_its_credit_in_dispute() -> None:
    ledger = oldest_first(*REVERSIBLE, disputes(CREDIT))
    assert outcome_of_event(ledger.take(reverses(amount=60_00))) == "applied"
    assert ledger.fine(CREDIT).status.value == "Closed"


def test_each_part_forbids_the_refusal_of_its_fine() -> None:
    ledger = oldest_first(*TWO, pays_sum(25_00))
    refused = ledger.take(refuses("1002"))
    assert outcome_of_event(refused) == "rejected:already_paid"
    ledger.take(reverses())
    assert outcome_of_event(ledger.take(refuses("1002", response_id="a2"))) == "applied"
