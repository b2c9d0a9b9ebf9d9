"""Payments that come before their fine or its export wait for it (rules.md, 3, rows 8 and 12)."""

import sys
from collections.abc import Sequence
from types import FrameType

import pytest

from service.core.decisions import decide
from service.core.events import FineCreated
from tests.support.bursar import pays, refuses
from tests.support.given import EXPORTED, FINE, ONLY, REJECTS, cancels, creates, exports, table
from tests.support.in_memory import Ledger, Step, moved, now, transferred
from tests.support.view_store import Store

REFUSED = (*EXPORTED, refuses())


def test_a_payment_ahead_of_its_fine_applies_in_the_commit_of_the_export() -> None:
    ledger = Ledger(pays(40_00))
    assert ledger.waits() == {"p1": "unknown_fine"}
    done = ledger.take(creates(95_00))
    assert [line.kind.value for line in done.transactions] == ["fine"]
    assert ledger.waits() == {"p1": "not_exported"}
    done = ledger.take(exports())
    assert [line.kind.value for line in done.transactions] == ["export_and_paid", "payment"]
    assert now(ledger) == transferred(55_00)
    assert ledger.waits() == {}
    assert done.outcomes == {"applied": 1, "unparked:not_exported": 1}


def test_a_payment_parked_on_a_refused_fine_applies_with_its_next_export() -> None:
    ledger = Ledger(*REFUSED, pays(40_00))
    done = ledger.take(exports(batch=2))
    assert [line.kind.value for line in done.transactions] == ["export_and_paid", "payment"]
    assert ledger.fine().bursar_transaction_id == "2001"


def test_parked_payments_apply_oldest_first() -> None:
    ledger = Ledger(*FINE, pays(90_00, payment_id="p1"), pays(10_00, payment_id="p2"))
    done = ledger.take(exports())
    assert [moved(line) for line in done.transactions[1:]] == [
        ("payment", 90_00, 0, -90_00),
        ("payment", 5_00, 0, -5_00),
        ("credit", -5_00, -5_00, 0),
    ]


@table(
    "export reason",
    ("8 the export turns out export-only", exports(terms=ONLY), "import_not_active"),
    ("12 the export's profile rejects excess", exports(terms=REJECTS), "overpaid"),
)
def test_a_parked_payment_may_be_rejected_when_its_turn_comes(export: Step, reason: str) -> None:
    ledger = Ledger(*FINE, pays(95_01))
    before = ledger.account()
    ledger.take(export)
    assert ledger.reasons() == [reason]
    assert ledger.waits() == {}
    assert ledger.payment_state() == "rejected"
    assert ledger.account().sequence == before.sequence + 1


def test_a_parked_payment_is_rejected_when_the_library_closes_its_fine() -> None:
    ledger = Ledger(*FINE, pays(95_00))
    ledger.take(cancels())
    assert ledger.reasons() == ["not_live"]
    assert ledger.waits() == {}


def test_a_payment_parked_on_an_unknown_fine_meets_the_currency_later() -> None:
    ledger = Ledger(pays(1, currency="EUR"), *FINE)
    assert ledger.reasons() == ["currency_mismatch"]
    assert ledger.waits() == {}


def test_a_payment_parked_on_two_unknown_references_meets_their_mismatch_later() -> None:
    ledger = Ledger(pays(1, "F2", line="1001"), *EXPORTED)
    assert ledger.waits() == {"p1": "unknown_fine"}
    ledger.take(creates(5_00, "F2"))
    assert ledger.reasons() == ["reference_mismatch"]


@pytest.mark.parametrize("ahead", [(), FINE], ids=["unknown fine", "not exported"])
def test_many_payments_that_wait_for_one_fine_are_not_decided_again_and_again(
    ahead: Sequence[FineCreated],
) -> None:
    """A long queue would hold its commit for ever."""
    count = 200
    store = Store()
    store.fold(*ahead)
    decided = 0

    def count_decisions(frame: FrameType, event: str, _: object) -> None:
        nonlocal decided
        decided += event == "call" and frame.f_code is decide.__code__

    waiting = [pays(1, "F1", payment_id=f"w{n}") for n in range(count)]
    before = sys.getprofile()
    sys.setprofile(count_decisions)
    try:
        store.fold(*waiting)
    finally:
        sys.setprofile(before)
    assert len(store.parked) == count
    assert decided <= count + 1
