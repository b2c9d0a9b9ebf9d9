"""After a restore the lost part of a history is read again beside the lines that were published
(rules.md, 5b), at any point of generated histories.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from service.core.adopted import AdoptedLine, AdoptedState
from service.core.batches import Response
from service.core.events import Incoming
from tests.laws.histories import (
    histories_with_sums,
    law,
    live,
    move_or_sum,
    new_ledger,
    new_store,
    shape,
    written,
)
from tests.laws.sums import SETTINGS
from tests.laws.test_laws import polls, same_as_model, settled
from tests.laws.writer import Writer
from tests.oracle.model import Model
from tests.oracle.tables import ModelAdopted
from tests.support.bursar import pays, refuses
from tests.support.given import Export, creates, desk_pays, exports, waives
from tests.support.in_memory import Ledger, Step, outcome_of_event
from tests.support.recovering import adopt_all, take_known
from tests.support.view_store import Store, sound

# The tables of tests in tests/unit cover the rules; measuring them here would double the time.
pytestmark = pytest.mark.no_cover

PLACE = st.integers(0, 40)
CUTS = st.lists(st.booleans(), min_size=40, max_size=40)


@dataclass(frozen=True)
class Restored:
    """A ledger as it came back and has adopted what was published, and what is read again."""

    ledger: Ledger
    place: int
    lines: Sequence[AdoptedLine]
    again: Sequence[Incoming]


def restored(steps: Sequence[Step], place: int, lost: Store) -> Restored:
    """The ledger after the first steps; the exports among the others have been published.

    The `place` counts from the end, because exports come late in many histories.
    """
    place = len(steps) - min(place, len(steps))
    ledger = new_ledger()
    live(ledger.store, steps[:place])
    batches = [step for step in steps[place:] if isinstance(step, Export)]
    lines = adopt_all(ledger.store, lost, batches)
    take_known(ledger.store, lines)
    again = [step for step in steps[place:] if not isinstance(step, Export)]
    return Restored(ledger, place, lines, again)


# Two payments wait for a fine whose turn to take its line comes after that of another fine, for
# which a sum of another patron waits.
TWO_PAYMENTS_WAIT = (171_661, 432_081, 1, 202_210, 7_981, 151, 1_031)
# Two reversals of a sum wait for it, one before it and one behind it.
TWO_REVERSALS_WAIT = (529_221, 0, 1, 586_060, 586_060, 529_221, 151, 151)


@law
@given(histories_with_sums, PLACE)
@example(written([move_or_sum(number) for number in TWO_PAYMENTS_WAIT]), 2)
@example(written([move_or_sum(number) for number in (*TWO_PAYMENTS_WAIT, 381_191)]), 3)
@example(written([move_or_sum(number) for number in TWO_REVERSALS_WAIT]), 2)
def test_what_is_read_again_gives_the_ledger_of_the_oracle(history: Writer, place: int) -> None:
    lost = live(new_store(), history.steps)
    came_back = restored(history.steps, place, lost)
    model = Model(settings=dict(SETTINGS))
    for step in history.steps[: came_back.place]:
        model.take(step)
    lines = [_adopted_by_model(line) for line in came_back.lines]
    model.adopt(lines)
    model.see(lines)
    ledger = came_back.ledger
    for step in came_back.again:
        assert outcome_of_event(ledger.take(step)) == model.take(step)
        sound(ledger.store)
    # Fines that are known may take their lines in another order, before anything is read.
    same_as_model(ledger.store, model, in_order=False)
    waiting = [
        line.key for line in ledger.store.adopted.values() if line.state is AdoptedState.WAITING
    ]
    assert {(key.institution_id, key.bursar_transaction_id) for key in waiting} == {
        line.line for line in model.adopted
    }
    event(f"lines: {min(len(came_back.lines), 3)}, of which wait: {min(len(waiting), 3)}")


def _adopted_by_model(line: AdoptedLine) -> ModelAdopted:
    return ModelAdopted(line.export, line.amount, line.currency, line.patron_id, line.closes)


@law
@given(histories_with_sums, PLACE, CUTS)
def test_2_cutting_what_is_read_again_differently_gives_the_same_ledger(
    history: Writer, place: int, cuts: list[bool]
) -> None:
    lost = live(new_store(), history.steps)
    came_back = restored(history.steps, place, lost)
    singly, cut = came_back.ledger.store, came_back.ledger.store.copy()
    live(singly, came_back.again)
    for poll in polls(came_back.again, cuts):
        cut.fold(*(step for step in poll if not isinstance(step, Export)))
    assert settled(cut) == settled(singly)


@law
@given(histories_with_sums, PLACE)
def test_a_ledger_whose_records_are_decided_as_before_is_the_lost_one(
    history: Writer, place: int
) -> None:
    lost = live(new_store(), history.steps)
    came_back = restored(history.steps, place, lost)
    store = live(came_back.ledger.store, came_back.again)
    is_recovered = _decided(store) == _decided(lost) and all(
        line.state is AdoptedState.TAKEN for line in store.adopted.values()
    )
    event(f"recovered: {is_recovered}")
    if is_recovered:
        assert _what_is_owed(store) == _what_is_owed(lost)


def _decided(store: Store) -> dict[str, object]:
    """What became of each record."""
    return {
        "payments": {k: (p.state, p.applied, p.excess) for k, p in store.payments.items()},
        "parts": {key: lump.parts for key, lump in store.sums.items()},
        "changes": {key: change.state for key, change in store.changes.items()},
        "responses": {key: _answer(response) for key, response in store.responses.items()},
    }


def _answer(response: Response) -> tuple[object, ...]:
    return response.state, response.reason, response.lines


def _what_is_owed(store: Store) -> dict[str, object]:
    return {
        "accounts": {k: (row.active, row.transferred) for k, row in store.accounts.items()},
        "fines": {key: shape(fine) for key, fine in store.fines.items()},
        "lines": {key: (line.state, line.reason) for key, line in store.lines.items()},
        "loans": set(store.loans),
        "batches": {key: batch.state for key, batch in store.batches.items()},
    }


@pytest.mark.parametrize("place", range(12))
def test_an_ordinary_history_is_recovered_from_any_point(place: int) -> None:
    steps: Sequence[Step] = (
        creates(95_00),
        creates(10_00, "F2"),
        waives(30_00),
        exports("F1", "F2"),
        pays(65_00, None, line="1001"),
        refuses("1002"),
        desk_pays(2_00, "F2", change_id="c2"),
        creates(7_00, "F3", patron="P2"),
        exports("F2", "F3", batch=2),
        pays(3_00, "F3", payment_id="p2"),
        pays(9_00, None, payment_id="p3", line="2001"),
    )
    lost = live(new_store(), steps)
    came_back = restored(steps, place, lost)
    store = live(came_back.ledger.store, came_back.again)
    assert _what_is_owed(store) == _what_is_owed(lost)
    assert _decided(store) == _decided(lost)
    sound(store)
