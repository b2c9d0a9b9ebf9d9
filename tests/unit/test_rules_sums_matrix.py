"""Every state of a fine against sums of its patron; what sums have paid against every event."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from service.core.ledger import Fine
from service.core.shares import LumpRule
from tests.support.bursar import pays, pays_sum, refuses, reverses, tells, writes_off
from tests.support.given import HOLDS, REJECTS, UNI, desk_pays, exports
from tests.support.in_memory import Ledger, outcome_of_event
from tests.support.matrix import each_cell
from tests.support.view_store import sound
from tests.unit.test_rules_matrix import (
    FINE,
    P0,
    STATES,
    Make,
    State,
    due,
    effect_of,
)


def ledger_of(state: State, rule: LumpRule = LumpRule.OLDEST_FIRST) -> Ledger:
    ledger = Ledger()
    ledger.store.lump_rules[UNI] = rule
    for step in state.history:
        ledger.take(step)
    return ledger


# The outcome of a sum that is one cent less than what is outstanding, all of it, one cent more. It
# waits in states in which nothing is.
OUTSTANDING = ("+", "+", "+c")
OTHER_TERMS: Mapping[str, tuple[str, str, str]] = {
    "open, rejects": ("+", "+", "op"),
    "open, holds": ("+", "+", "OH"),
    "held overpayment": ("+", "+", "OH"),
}
NOTHING = ("UA", "UA", "UA")
MEANING = {
    "+": "applied",
    "+c": "applied, with a credit of the excess",
    "n": "noted",
    "UA": "parked:unallocated",
    "OH": "parked:overpaid_held",
    "NE": "parked:not_exported",
    "UO": "parked:unknown_original",
    "op": "rejected:overpaid",
    "eo": "rejected:exceeds_outstanding",
    "rm": "rejected:reference_mismatch",
    "am": "rejected:amount_mismatch",
    "ar": "rejected:already_reversed",
    "ap": "rejected:already_paid",
    "ub": "rejected:unknown_batch",
}


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize(("column", "more"), [(0, -1), (1, 0), (2, 1)])
def test_each_state_has_one_answer_to_a_sum(name: str, column: int, more: int) -> None:
    ledger = ledger_of(STATES[name])
    debits = [fine for fine in ledger.store.fines.values() if not fine.facts.is_credit]
    owed = sum(fine.outstanding for fine in debits)
    done = ledger.take(pays_sum((owed or 95_00) + more, payment_id="s1"))
    expected = OTHER_TERMS.get(name, OUTSTANDING if owed else NOTHING)[column]
    assert effect_of(done) == MEANING[expected]
    sound(ledger.store)


@pytest.mark.parametrize("name", STATES)
def test_a_sum_is_held_in_each_state_where_a_person_decides(name: str) -> None:
    ledger = ledger_of(STATES[name], LumpRule.HOLD)
    before = ledger.store.copy()
    assert outcome_of_event(ledger.take(pays_sum(1, payment_id="s1"))) == "parked:unallocated"
    assert (ledger.store.fines, ledger.store.accounts) == (before.fines, before.accounts)


PAID = {
    "waits": State((FINE, pays_sum(40_00, **P0))),
    "waits on": State((FINE, pays_sum(96_00, **P0), exports(terms=REJECTS))),
    "held": State((FINE, exports(terms=HOLDS), pays_sum(96_00, **P0))),
    "part paid": State((FINE, exports(), pays_sum(40_00, **P0))),
    "paid": State((FINE, exports(), pays_sum(95_00, **P0))),
    "overpaid": State((FINE, exports(), pays_sum(96_00, **P0))),
    "reversed": State((FINE, exports(), pays_sum(95_00, **P0), reverses("p0", payment_id="r0"))),
}
EVENTS: dict[str, Make] = {
    "d<": lambda s, _: desk_pays(1, s.fine_id),
    "p<": lambda s, f: pays(due(f) - 1, s.fine_id),
    "p>": lambda s, f: pays(due(f) + 1, s.fine_id),
    "s<": lambda _, f: pays_sum(due(f) - 1, payment_id="s1"),
    "s>": lambda _, f: pays_sum(due(f) + 1, payment_id="s1"),
    "w=": lambda s, f: writes_off(due(f), s.fine_id),
    "st": lambda s, _: tells("invoiced", s.fine_id),
    "r0": lambda _, __: reverses("p0"),
    "rf": lambda s, _: reverses("p0", fine_id=s.fine_id),
    "r<": lambda _, __: reverses("p0", amount=1),
    "l1": lambda s, _: refuses("1001", profile=s.profile),
}
# Columns: desk payment; payment less than what is due, more; a sum less, more; write-off of what is
# due; status; reversal of the sum, with its fine, of a part; the line refused.
TABLE = """
           d< p< p> s< s> w= st r0 rf r< l1
waits      +  NE NE UA UA NE NE UO UO UO ub
waits on   ae +  op +  op +  n  UO UO UO +
held       ae +  OH +  OH +  n  UO UO UO +
part paid  ae +  +c +  +c +  n  +  rm am ap
paid       ae +c +c UA UA eo n  +  rm am ap
overpaid   ae +c +c UA UA eo n  +  rm am ap
reversed   ae +  +c +  +c +  n  ar rm ar +
"""
MEANING_OF_EVENTS = {**MEANING, "ae": "rejected:already_exported"}


def fine_of(ledger: Ledger, state: State) -> Fine:
    return ledger.fine(state.fine_id)


@each_cell(TABLE, PAID, EVENTS, MEANING_OF_EVENTS)
def test_what_sums_have_paid_has_one_answer_to_each_event(
    state: str, event: str, outcome: str
) -> None:
    ledger = ledger_of(PAID[state])
    done = ledger.take(EVENTS[event](PAID[state], fine_of(ledger, PAID[state])))
    assert effect_of(done) == outcome
    sound(ledger.store)
