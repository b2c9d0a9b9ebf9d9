"""The laws of rules.md, 6, on the order of records and on what takes an effect back."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import assume, event, example, given, note
from hypothesis import strategies as st

from service.core.events import FineCreated, ParkedEvent
from service.core.ledger import Fine, FineKey, Payment, SourceKey
from service.core.payments import excess_credit_id
from service.core.words import ItemState
from service.core.workspace import Changes
from tests.laws.histories import (
    commit,
    histories,
    histories_with_sums,
    law,
    live,
    move,
    move_or_sum,
    new_ledger,
    shape,
    written,
)
from tests.laws.writer import Writer
from tests.support.bursar import pays, refuses, reverses
from tests.support.given import BOTH, ERP, ONLY, UNI, Export, creates, exports, waives
from tests.support.in_memory import Ledger, Step, but_instants, outcome_of_event
from tests.support.view_store import Store

# The tables of tests in tests/unit cover the rules; measuring them here would double the time.
pytestmark = pytest.mark.no_cover

Standing = dict[tuple[str, ...], tuple[object, ...]]

EXCESS = excess_credit_id(SourceKey(UNI, ERP, "n1"))


@law
@given(histories, st.integers(0, 7), st.integers(1, 20))
@example(written([move(182), move(6_776), move(37_522), move(0), move(235)]), 1, 1)
def test_5_a_fine_may_come_after_what_is_for_it(history: Writer, pick: int, far: int) -> None:
    steps = history.steps
    first: dict[FineKey, int] = {}
    for place, step in enumerate(steps):
        if isinstance(step, FineCreated):
            first.setdefault(step.key, place)
    assume(first)
    key, place = list(first.items())[pick % len(first)]
    end = place + 1
    while end < len(steps) and end <= place + far and not _needs(steps[end], key):
        end += 1
    assume(end > place + 1)
    late = [*steps[:place], *steps[place + 1 : end], steps[place], *steps[end:]]
    assert _final(live(Store(), late)) == _final(live(Store(), steps))


def _needs(step: Step, key: FineKey) -> bool:
    """What cannot be before the fine: its export, and another record that creates it."""
    if isinstance(step, Export):
        return any(exported.fine == key for exported in step.fines)
    return isinstance(step, FineCreated) and step.key == key


def _final(store: Store) -> dict[str, object]:
    """What an account's owner could see: all but the order in which one account's fines moved."""
    numbers = {key: (a.active, a.transferred, a.sequence) for key, a in store.accounts.items()}
    moves: dict[FineKey, list[tuple[str, int]]] = {}
    for line in store.transactions:
        moves.setdefault(line.fine.facts.key, []).append((line.kind.value, line.amount))
    return {
        "accounts": numbers,
        "fines": store.fines,
        "payments": {key: _meant(payment) for key, payment in store.payments.items()},
        "changes": store.changes,
        "lines": store.lines,
        "patrons": store.patrons,
        "parked": [_bare(item) for item in store.parked.values()],
        "rejections": Counter((r.reason, r.origin.topic) for r in store.rejections),
        "moves": moves,
    }


def _meant(payment: Payment) -> Payment:
    """Whose line a rejected one named is told as it was then: lines come with exports."""
    return replace(payment, fine_id=None) if payment.state is ItemState.REJECTED else payment


def _bare(item: ParkedEvent) -> ParkedEvent:
    return replace(item, arrival=None)


AHEAD = (reverses("n1", payment_id="n2"), waives(1, EXCESS, "n3"), pays(1, EXCESS, payment_id="n4"))


@pytest.mark.fault("repeats-and-replay")
@law
@given(histories, st.integers(1, 8), st.permutations(AHEAD), st.integers(0, 3))
def test_5_a_payment_may_come_before_its_fines_export(
    history: Writer, amount: int, ahead: list[Step], kept: int
) -> None:
    """Whatever else waits for the payment. Older payments of that fine are another matter: what is
    parked is tried in whole passes, what is not at once (rules.md, 3)."""
    payment, export = pays(amount, "N1", payment_id="n1"), exports("N1", batch=77)
    steps = [*ahead[:kept], *history.steps, creates(3, "N1")]
    early = live(Store(), [*steps, payment, export])
    late = live(Store(), [*steps, export, payment])
    assert _final(early) == _final(late)


@law
@given(histories, st.booleans(), st.integers(1, 4))
def test_5_a_fine_and_its_payment_decided_on_two_connections_meet_in_the_sweep(
    history: Writer, fine_first: bool, amount: int
) -> None:
    store = live(Store(), history.steps)
    fine, payment = creates(3, "N1"), pays(amount, "N1", payment_id="n1")
    in_turn = store.copy()
    in_turn.fold(payment)
    in_turn.fold(fine)
    ours, theirs = store.copy(), store.copy()
    made, waiting = ours.fold(fine), theirs.fold(payment)
    for changes in (made, waiting) if fine_first else (waiting, made):
        store.write(changes)
    store.fold(queues=[fine.key])
    assert _final(store) == _final(in_turn)
    export = exports("N1", batch=77)
    commit(store, [export])
    commit(in_turn, [export])
    assert _final(store) == _final(in_turn)


@law
@given(histories_with_sums)
def test_8_a_rejected_record_changes_nothing_but_the_rejected_table(history: Writer) -> None:
    ledger = new_ledger()
    for step in history.steps:
        before = ledger.store.copy()
        done = ledger.take(step)
        if isinstance(step, Export):
            continue
        outcome = outcome_of_event(done)
        if outcome.startswith(("rejected", "repeat", "parked")):
            assert _moved_nothing(done)
            assert but_instants(ledger.store) == but_instants(before)
            assert outcome.startswith("rejected") or ledger.store.fines == before.fines
        if outcome.startswith("rejected"):
            assert done.rejections[0].origin == step.origin
            assert done.patrons.written == ()
            kept = [row.state for row in done.payments.added]
            kept += [row.state for row in done.changes.added]
            kept += [row.state for row in done.responses.added]
            bound = [] if outcome.endswith("_conflict") else [ItemState.REJECTED]
            assert kept == bound


def _moved_nothing(done: Changes) -> bool:
    return not (
        done.accounts.written
        or done.fines.added
        or done.transactions
        or done.lines.added
        or done.lines.changed
        or done.batches.changed
        or done.loans_closed
    )


def with_exported(history: Writer, pick: int) -> tuple[Ledger, Fine]:
    """The ledger after a history and the export of one more fine, and one of those with a line."""
    ledger = new_ledger()
    ledger.store = live(ledger.store, history.steps)
    ledger.take(creates(7, "N1"))
    ledger.take(exports("N1", batch=77))
    left = [fine for fine in ledger.store.fines.values() if fine.bursar_transaction_id is not None]
    return ledger, left[pick % len(left)]


@law
@given(histories_with_sums, st.integers(0, 30), st.integers(1, 120))
def test_9_a_reversal_after_its_payment_is_identity_on_balances(
    history: Writer, pick: int, amount: int
) -> None:
    ledger, fine = with_exported(history, pick)
    before, money = _standing(ledger.store), fine.facts.currency
    paying = pays(amount, fine.facts.fine_id, payment_id="n1", currency=money)
    paid = outcome_of_event(ledger.take(paying))
    done = ledger.take(reverses("n1", payment_id="n2", currency=money))
    event(paid)
    assume(paid in ("applied", "noted"))
    # A sum that waits for something to be outstanding may be paid with the reversal.
    assume("unparked:unallocated" not in done.outcomes)
    assert outcome_of_event(done) == paid
    _as_before(before, _standing(ledger.store))


@law
@given(histories, st.integers(0, 30), st.integers(1, 120), st.lists(st.integers(1, 60), max_size=4))
@example(written([move(0)]), 0, 7, [2, 2, 9])
def test_9_reversals_of_parts_are_together_identity_on_balances(
    history: Writer, pick: int, amount: int, parts: list[int]
) -> None:
    ledger, fine = with_exported(history, pick)
    before, money = _standing(ledger.store), fine.facts.currency
    paying = pays(amount, fine.facts.fine_id, payment_id="n1", currency=money)
    paid = outcome_of_event(ledger.take(paying))
    assume(paid in ("applied", "noted"))
    payment = SourceKey(UNI, ERP, "n1")
    for number, part in enumerate(parts):
        reversal = reverses("n1", part, payment_id=f"m{number}", currency=money)
        outcome = outcome_of_event(ledger.take(reversal))
        event(outcome)
        kept = ledger.store.payments[payment]
        if outcome == paid:
            assert ledger.store.fines[fine.facts.key].payments_live >= (kept.reversed_by is None)
        else:
            assert outcome in ("rejected:amount_mismatch", "rejected:already_reversed")
    ledger.take(reverses("n1", payment_id="n2", currency=money))
    assert ledger.store.payments[payment].reversed_amount == amount
    _as_before(before, _standing(ledger.store))


def _as_before(before: Standing, after: Standing) -> None:
    """What was made on the way, an excess credit, is cancelled."""
    assert {name: after[name] for name in before} == before
    made = after.keys() - before.keys()
    assert {after[name][:4] for name in made} <= {("Closed", "closed", 0, 0)}


def _standing(store: Store) -> Standing:
    fines: Standing = {key: shape(fine) for key, fine in store.fines.items()}
    return fines | {k: (a.active, a.transferred) for k, a in store.accounts.items()}


@law
@given(histories_with_sums, st.integers(0, 30), st.sampled_from(["BOTH", "ONLY"]))
@example(Writer(), 0, "BOTH")
@example(
    written([move_or_sum(441), move_or_sum(55_881), move_or_sum(770_591)]), 0, "BOTH"
)  # a credit of another patron names the fine, and means nothing to it
def test_9_a_refusal_after_its_export_is_identity_on_balances(
    history: Writer, pick: int, profile: str
) -> None:
    ledger = new_ledger()
    ledger.store = live(ledger.store, history.steps)
    ledger.take(creates(7, "N1"))
    ready = [
        key.fine_id
        for key, fine in ledger.store.fines.items()
        if fine.status.value == "Active" and fine.facts.currency == "USD"
    ]
    chosen = ready[pick % len(ready)]
    before = _standing(ledger.store)
    terms = BOTH if profile == "BOTH" else ONLY
    ledger.take(exports(chosen, terms=terms, batch=77))
    was_paid = ledger.fine(chosen, UNI).payments_live > 0
    # A credit of the fine that is at the bursar forbids the refusal as a payment does.
    was_paid |= any(
        fine.facts.credit_of == chosen
        and fine.facts.account == ledger.fine(chosen, UNI).facts.account
        and fine.status.value == "Transferred"
        for fine in ledger.store.fines.values()
    )
    outcome = outcome_of_event(
        ledger.take(refuses("77001", batch=77, profile=profile, response_id="n"))
    )
    note(outcome)
    if was_paid:
        assert outcome == "rejected:already_paid"
    else:
        assert outcome == "applied"
        _as_before(before, _standing(ledger.store))
