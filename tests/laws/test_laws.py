"""The laws of rules.md, 6, on generated histories; the numbers are those of that list."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from random import Random

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from service.core.ledger import AccountKey, Fine, FineKey
from tests.laws.histories import (
    MOVES_AND_SUMS,
    commit,
    histories_with_sums,
    law,
    live,
    move,
    new_ledger,
    new_store,
    records,
    shape,
    written,
)
from tests.laws.sums import SETTINGS
from tests.laws.writer import Move, Writer
from tests.oracle.model import Model
from tests.support.given import Export
from tests.support.in_memory import Step, outcome_of_event
from tests.support.view_store import Store, sound, tables

# The tables of tests in tests/unit cover the rules; measuring them here would double the time.
pytestmark = pytest.mark.no_cover

REPEATS = ("repeat", "repeat:already_closed")


def settled(store: Store) -> dict[str, object]:
    """The tables, without the numbers of arrival: only their order counts."""
    parked = [replace(item, arrival=None) for item in store.parked.values()]
    return {**tables(store), "parked": parked}


@law
@given(histories_with_sums)
@example(
    written([move(0), move(84_684), move(15), move(34_926)])
)  # a reversal by fine, not by line
@example(
    written([move(0), move(40_266), move(52_322), move(312), move(40_270), move(41_199)])
)  # a change waits for the credit that an older payment of the same export makes
def test_1_the_ledger_balances_and_is_that_of_the_oracle(history: Writer) -> None:
    ledger, model = new_ledger(), Model(settings=dict(SETTINGS))
    for step in history.steps:
        done = ledger.take(step)
        expected = model.take(step)
        if not isinstance(step, Export):
            assert outcome_of_event(done) == expected
        sound(ledger.store)
    same_as_model(ledger.store, model)
    for outcome in ledger.store.outcomes:
        event(outcome)


def same_as_model(store: Store, model: Model, *, in_order: bool = True) -> None:
    """Compares all that the oracle knows; the order of transactions unless told not to."""
    balances = {k: (row.active, row.transferred) for k, row in store.accounts.items()}
    assert balances == model.balances()
    assert {key: shape(fine) for key, fine in store.fines.items()} == {
        key: (
            fine["status"],
            fine["considered"],
            fine["remaining"],
            fine["outstanding"],
            fine["line"],
            len(fine["live"]),
            fine["amount"],
        )
        for key, fine in model.fines.items()
    }
    assert {key: _latest(fine) for key, fine in store.fines.items()} == {
        key: (fine["latest"].get("amount"), fine["latest"].get("dispute"))
        for key, fine in model.fines.items()
    }
    assert {key: (row.state.value, row.applied) for key, row in store.payments.items()} == {
        key: (row["state"], row["applied"]) for key, row in model.payments.items()
    }
    assert {lump.key: list(lump.parts) for lump in store.sums.values()} == {
        key: model.payments[key]["parts"] for key in model.sum_rules
    }
    waits = [(item.event, item.wait.value) for item in store.parked.values()]
    assert waits == list(model.waiting.values())
    assert [rejection.reason.value for rejection in store.rejections] == model.rejected
    posted = [
        (
            line.fine.facts.account,
            line.fine.facts.fine_id,
            line.kind.value,
            line.amount,
            line.after.active - line.before.active,
            line.after.transferred - line.before.transferred,
        )
        for line in store.transactions
    ]
    assert (posted if in_order else sorted(posted)) == (
        model.posted if in_order else sorted(model.posted)
    )
    assert set(store.loans) == model.loans


def _latest(fine: Fine) -> tuple[datetime | None, datetime | None]:
    return fine.amendment.adjusted_at, fine.amendment.disputed_at


@law
@given(histories_with_sums, st.lists(st.booleans(), min_size=40, max_size=40))
def test_2_cutting_the_records_into_polls_differently_gives_the_same_ledger(
    history: Writer, cuts: list[bool]
) -> None:
    singly = settled(live(new_store(), history.steps))
    together, cut = new_store(), new_store()
    for poll in polls(history.steps, [False] * 40):
        commit(together, poll)
    for poll in polls(history.steps, cuts):
        commit(cut, poll)
    assert settled(together) == singly
    assert settled(cut) == singly


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
@given(histories_with_sums)
def test_2_a_sweep_over_a_settled_ledger_changes_nothing(history: Writer) -> None:
    store = live(new_store(), history.steps)
    before = settled(store)
    store.fold(queues=[*store.fines, *store.payments])
    assert settled(store) == before


@pytest.mark.fault("repeats-and-replay")
@law
@given(histories_with_sums, st.randoms(use_true_random=False))
def test_3_repeats_change_nothing(history: Writer, random: Random) -> None:
    once = live(new_store(), history.steps)
    again = new_store()
    for place, step in enumerate(history.steps):
        commit(again, [step])
        before = _all_but_rejections(again.copy())
        known = [n for n in range(place + 1) if not isinstance(history.steps[n], Export)]
        for number in random.sample(known, min(2, len(known))):
            rejections, first = len(again.rejections), history.outcomes[number]
            outcome = outcome_of_event(again.fold(*records([history.steps[number]])))
            is_conflict = first.endswith("_conflict")
            assert outcome == first if is_conflict else outcome in REPEATS
            assert _all_but_rejections(again) == before
            assert len(again.rejections) - rejections == is_conflict
    assert _all_but_rejections(again) == _all_but_rejections(once)


def _all_but_rejections(store: Store) -> dict[str, object]:
    """Patrons apart too: a conflict's snapshot was not taken, a repeat's is as old as it was."""
    return {k: v for k, v in settled(store).items() if k not in ("rejections", "outcomes")}


@law
@given(MOVES_AND_SUMS, MOVES_AND_SUMS, st.lists(st.booleans(), min_size=80, max_size=80))
def test_4_accounts_do_not_influence_each_other(
    moves: list[Move], others: list[Move], turns: list[bool]
) -> None:
    mine, theirs = written(moves, prefix="A"), written(others, prefix="B")
    mixed = live(new_store(), woven(mine.steps, theirs.steps, turns))
    for alone, prefix in ((mine, "A"), (theirs, "B")):
        expected = live(new_store(), alone.steps)
        ours = {key for key in mixed.accounts if key.patron_id.startswith(prefix)}
        assert _of(mixed, ours) == _of(expected, set(expected.accounts))
        keys = expected.payments.keys()
        assert {key: mixed.payments[key] for key in keys} == expected.payments


@law
@given(MOVES_AND_SUMS, MOVES_AND_SUMS, st.lists(st.booleans(), min_size=80, max_size=80))
def test_4_institutions_with_the_very_same_ids_do_not_influence_each_other(
    moves: list[Move], others: list[Move], turns: list[bool]
) -> None:
    mine, theirs = written(moves, institution="1"), written(others, institution="2")
    mixed = live(new_store(), woven(mine.steps, theirs.steps, turns))
    for alone, institution in ((mine, "1"), (theirs, "2")):
        expected = live(new_store(), alone.steps)
        ours = {key for key in mixed.accounts if key.institution_id == institution}
        assert _of(mixed, ours) == _of(expected, set(expected.accounts))
        rejections = [r for r in mixed.rejections if r.institution_id == institution]
        assert rejections == expected.rejections


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
