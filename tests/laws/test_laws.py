"""The laws of rules.md, 6, on generated histories; the numbers are that list's."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from random import Random

from hypothesis import assume, event, example, given, note
from hypothesis import strategies as st

from service.core.events import FineCreated, ParkedEvent
from service.core.ledger import AccountKey, Fine, FineKey, Payment, SourceKey
from service.core.payments import excess_credit_id
from service.core.words import ItemState
from service.core.workspace import Changes
from tests.laws.histories import (
    MOVES,
    Move,
    Writer,
    commit,
    histories,
    law,
    live,
    move,
    records,
    written,
)
from tests.laws.model import Model
from tests.support.bursar import pays, refuses, reverses
from tests.support.given import BOTH, ERP, ONLY, UNI, Export, creates, exports, waives
from tests.support.in_memory import Ledger, Step, outcome_of_event
from tests.support.view_store import Store, sound, tables

Standing = dict[tuple[str, ...], tuple[object, ...]]

EXCESS = excess_credit_id(SourceKey(UNI, ERP, "n1"))


def settled(store: Store) -> dict[str, object]:
    """The tables, without the numbers of arrival: only their order counts."""
    parked = [replace(item, arrival=None) for item in store.parked.values()]
    return {**tables(store), "parked": parked}


@law
@given(histories)
@example(
    written([move(0), move(84_684), move(15), move(34_926)])
)  # a reversal by fine, not by line
@example(
    written([move(0), move(40_266), move(52_322), move(312), move(40_270), move(41_199)])
)  # a change waits for the credit that an older payment of the same export makes
def test_1_the_ledger_balances_and_are_those_of_an_independent_reading(history: Writer) -> None:
    ledger, model = Ledger(), Model()
    for step in history.steps:
        done = ledger.take(step)
        expected = model.take(step)
        if not isinstance(step, Export):
            assert outcome_of_event(done) == expected
        sound(ledger.store)
    _same_as_model(ledger.store, model)
    for outcome in ledger.store.outcomes:
        event(outcome)


def _same_as_model(store: Store, model: Model) -> None:
    balances = {k: (row.active, row.transferred) for k, row in store.accounts.items()}
    assert balances == model.balances()
    assert {key: _shape(fine) for key, fine in store.fines.items()} == {
        key: (
            fine["status"],
            fine["considered"],
            fine["remaining"],
            fine["outstanding"],
            fine["line"],
            len(fine["live"]),
        )
        for key, fine in model.fines.items()
    }
    assert {key: (row.state.value, row.applied) for key, row in store.payments.items()} == {
        key: (row["state"], row["applied"]) for key, row in model.payments.items()
    }
    waits = [(item.event, item.wait.value) for item in store.parked.values()]
    assert waits == model.waiting
    assert [refused.reason.value for refused in store.rejections] == model.rejected
    assert [
        (
            line.fine.facts.account,
            line.fine.facts.fine_id,
            line.kind.value,
            line.amount,
            line.after.active - line.before.active,
            line.after.transferred - line.before.transferred,
        )
        for line in store.transactions
    ] == model.posted
    assert set(store.loans) == model.loans


def _shape(fine: Fine) -> tuple[str, str, int, int, str | None, int]:
    return (
        fine.status.value,
        fine.considered.value,
        fine.remaining,
        fine.outstanding,
        fine.bursar_transaction_id,
        fine.payments_live,
    )


@law
@given(histories, st.lists(st.booleans(), min_size=40, max_size=40))
def test_2_cutting_the_records_into_polls_differently_gives_the_same_ledger(
    history: Writer, cuts: list[bool]
) -> None:
    one_by_one = settled(live(Store(), history.steps))
    together, cut = Store(), Store()
    for poll in polls(history.steps, [False] * 40):
        commit(together, poll)
    for poll in polls(history.steps, cuts):
        commit(cut, poll)
    assert settled(together) == one_by_one
    assert settled(cut) == one_by_one


def polls(steps: Sequence[Step], cuts: Sequence[bool]) -> Iterable[list[Step]]:
    """Cut where told; an export is a commit of its own."""
    number = 0
    numbered = []
    for step, cut in zip(steps, cuts, strict=False):
        number += cut or isinstance(step, Export)
        numbered.append((number, step))
        number += isinstance(step, Export)
    for _, poll in groupby(numbered, key=lambda pair: pair[0]):
        yield [step for _, step in poll]


@law
@given(histories)
def test_2_a_sweep_over_a_settled_ledger_changes_nothing(history: Writer) -> None:
    store = live(Store(), history.steps)
    before = settled(store)
    store.fold(queues=[*store.fines, *store.payments])
    assert settled(store) == before


@law
@given(histories, st.randoms(use_true_random=False))
def test_3_repeats_change_nothing(history: Writer, random: Random) -> None:
    once = live(Store(), history.steps)
    again = Store()
    for place, step in enumerate(history.steps):
        commit(again, [step])
        known = [n for n in range(place + 1) if not isinstance(history.steps[n], Export)]
        for number in random.sample(known, min(2, len(known))):
            before, first = again.copy(), history.outcomes[number]
            outcome = outcome_of_event(again.fold(*records([history.steps[number]])))
            assert outcome == (first if first.endswith("_conflict") else "repeat")
            assert _all_but_refused(again) == _all_but_refused(before)
            assert len(again.rejections) - len(before.rejections) == (outcome != "repeat")
    assert _all_but_refused(again) == _all_but_refused(once)


def _all_but_refused(store: Store) -> dict[str, object]:
    """Patrons apart too: a conflict's snapshot was not taken, a repeat's is as old as it was."""
    return {k: v for k, v in settled(store).items() if k not in ("rejections", "outcomes")}


@law
@given(MOVES, MOVES, st.lists(st.booleans(), min_size=80, max_size=80))
def test_4_accounts_do_not_influence_each_other(
    moves: list[Move], others: list[Move], turns: list[bool]
) -> None:
    mine, theirs = written(moves, prefix="A"), written(others, prefix="B")
    mixed = live(Store(), woven(mine.steps, theirs.steps, turns))
    for alone, prefix in ((mine, "A"), (theirs, "B")):
        expected = live(Store(), alone.steps)
        ours = {key for key in mixed.accounts if key.patron_id.startswith(prefix)}
        assert _of(mixed, ours) == _of(expected, set(expected.accounts))
        keys = expected.payments.keys()
        assert {key: mixed.payments[key] for key in keys} == expected.payments


@law
@given(MOVES, MOVES, st.lists(st.booleans(), min_size=80, max_size=80))
def test_4_institutions_with_the_very_same_ids_do_not_influence_each_other(
    moves: list[Move], others: list[Move], turns: list[bool]
) -> None:
    mine, theirs = written(moves, institution="1"), written(others, institution="2")
    mixed = live(Store(), woven(mine.steps, theirs.steps, turns))
    for alone, institution in ((mine, "1"), (theirs, "2")):
        expected = live(Store(), alone.steps)
        ours = {key for key in mixed.accounts if key.institution_id == institution}
        assert _of(mixed, ours) == _of(expected, set(expected.accounts))
        refused = [one for one in mixed.rejections if one.institution_id == institution]
        assert refused == expected.rejections


def woven(mine: Sequence[Step], theirs: Sequence[Step], turns: Sequence[bool]) -> list[Step]:
    left, right = list(mine), list(theirs)
    mixed = []
    for turn in turns:
        source = left if turn else right
        if source:
            mixed.append(source.pop(0))
    return [*mixed, *left, *right]


def _of(store: Store, accounts: set[AccountKey]) -> dict[str, object]:
    mine = {key: fine for key, fine in store.fines.items() if fine.facts.account in accounts}
    return {
        "accounts": {key: store.accounts[key] for key in accounts},
        "fines": mine,
        "transactions": [t for t in store.transactions if t.fine.facts.account in accounts],
        "lines": {
            key: line
            for key, line in store.lines.items()
            if FineKey(key.institution_id, line.fine_id) in mine
        },
    }


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
        return any(claimed.fine == key for claimed in step.fines)
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
        "payments": {key: _meant(one) for key, one in store.payments.items()},
        "changes": store.changes,
        "lines": store.lines,
        "patrons": store.patrons,
        "parked": [_bare(item) for item in store.parked.values()],
        "refused": Counter((one.reason, one.origin.topic) for one in store.rejections),
        "moves": moves,
    }


def _meant(payment: Payment) -> Payment:
    """Whose line a rejected one named is told as it was then: lines come with exports."""
    return replace(payment, fine_id=None) if payment.state is ItemState.REJECTED else payment


def _bare(item: ParkedEvent) -> ParkedEvent:
    return replace(item, arrival=None)


AHEAD = (reverses("n1", payment_id="n2"), waives(1, EXCESS, "n3"), pays(1, EXCESS, payment_id="n4"))


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
@given(histories)
def test_8_a_rejected_record_changes_nothing_but_the_rejected_table(history: Writer) -> None:
    ledger = Ledger()
    for step in history.steps:
        done = ledger.take(step)
        if isinstance(step, Export):
            continue
        outcome = outcome_of_event(done)
        if outcome.startswith(("rejected", "repeat", "parked")):
            assert _moved_nothing(done)
        if outcome.startswith("rejected"):
            assert done.rejections[0].origin == step.origin
            assert done.patrons.written == ()
            kept = [one.state for one in done.payments.added]
            kept += [one.state for one in done.changes.added]
            kept += [one.state for one in done.responses.added]
            bound = [] if outcome.endswith("_conflict") else [ItemState.REJECTED]
            assert kept == bound


def _moved_nothing(done: Changes) -> bool:
    return not (
        done.accounts.written
        or done.fines.added
        or done.fines.changed
        or done.transactions
        or done.lines.added
        or done.lines.changed
        or done.batches.changed
        or done.loans_closed
    )


@law
@given(histories, st.integers(0, 30), st.integers(1, 120))
def test_9_a_reversal_after_its_payment_is_identity_on_balances(
    history: Writer, pick: int, amount: int
) -> None:
    ledger = Ledger()
    ledger.store = live(ledger.store, history.steps)
    ledger.take(creates(7, "N1"))
    ledger.take(exports("N1", batch=77))
    left = [
        key for key, fine in ledger.store.fines.items() if fine.bursar_transaction_id is not None
    ]
    key = left[pick % len(left)]
    money = ledger.store.fines[key].facts.currency
    before = _standing(ledger.store)
    paid = outcome_of_event(ledger.take(pays(amount, key.fine_id, payment_id="n1", currency=money)))
    undone = outcome_of_event(ledger.take(reverses("n1", payment_id="n2", currency=money)))
    event(paid)
    assume(paid in ("applied", "noted"))
    assert undone == paid
    _as_before(before, _standing(ledger.store))


def _as_before(before: Standing, after: Standing) -> None:
    """What was made on the way, an excess credit, is cancelled."""
    assert {name: after[name] for name in before} == before
    made = after.keys() - before.keys()
    assert {after[name][:4] for name in made} <= {("Closed", "closed", 0, 0)}


def _standing(store: Store) -> Standing:
    fines: Standing = {key: _shape(fine) for key, fine in store.fines.items()}
    return fines | {k: (a.active, a.transferred) for k, a in store.accounts.items()}


@law
@given(histories, st.integers(0, 30), st.sampled_from(["BOTH", "ONLY"]))
@example(Writer(), 0, "BOTH")
def test_9_a_refusal_after_its_export_is_identity_on_balances(
    history: Writer, pick: int, profile: str
) -> None:
    ledger = Ledger()
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
    outcome = outcome_of_event(
        ledger.take(refuses("77001", batch=77, profile=profile, response_id="n"))
    )
    note(outcome)
    if was_paid:
        assert outcome == "rejected:already_paid"
    else:
        assert outcome == "applied"
        _as_before(before, _standing(ledger.store))
