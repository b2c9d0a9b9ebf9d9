"""Every state of an exported fine against every kind of change in the library (rules.md, 2b).

What may still be credited is given for each state, and not computed: it is what the page says of
the state, not what the rules do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from service.core.after_export import change_credit_id
from service.core.ledger import SourceKey
from service.core.payments import excess_credit_id
from service.core.words import ChangeKind, Kind
from tests.support.bursar import pays, refuses, reverses
from tests.support.given import (
    CREDITS,
    DESK,
    ERP,
    LOST,
    ONLY,
    ONLY_CREDITS,
    UNI,
    adjusts,
    cancels,
    changes,
    creates,
    desk_pays,
    disputes,
    exports,
    restores,
    waives,
)
from tests.support.in_memory import Ledger, Step, but_instants, outcome_of_event
from tests.support.matrix import each_cell
from tests.support.view_store import sound

FINE = creates(95_00)
LOST_ITEM = creates(95_00, type_=LOST)
OF_LIBRARY = creates(-20_00, "C1", credit_of="F1")
OF_ANOTHER = creates(-20_00, "C1", patron="P2", credit_of="F1")
OF_CREDIT = creates(-20_00, "C1", credit_of="C0")
MADE = change_credit_id(SourceKey(UNI, DESK, "c0"))
EXCESS = excess_credit_id(SourceKey(UNI, ERP, "p0"))
BY_CREDITS = (FINE, exports(terms=CREDITS))
BY_ONLY = (FINE, exports(terms=ONLY_CREDITS))
LOST_CLOSED = (LOST_ITEM, exports(terms=CREDITS))
PART_MADE = (*BY_CREDITS, desk_pays(30_00, change_id="c0"))
REFUSED = refuses(response_id="a0")


@dataclass(frozen=True, slots=True)
class State:
    """A history, what may still be credited after it, and the fine that the changes name."""

    history: tuple[Step, ...]
    left: int = 95_00
    fine_id: str = "F1"


STATES = {
    "open, rejects": State((FINE, exports())),
    "paid, rejects": State((FINE, exports(), pays(95_00, payment_id="p0"))),
    "closed, rejects": State((FINE, exports(terms=ONLY))),
    "lost, rejects": State((LOST_ITEM, exports())),
    "open": State(BY_CREDITS),
    "open, adjusted": State((FINE, adjusts(50_00, change_id="c0"), exports(terms=CREDITS)), 50_00),
    "open, was paid": State((FINE, waives(45_00, change_id="c0"), exports(terms=CREDITS)), 50_00),
    "part paid": State((*BY_CREDITS, pays(40_00, payment_id="p0")), 55_00),
    "paid": State((*BY_CREDITS, pays(95_00, payment_id="p0")), 0),
    "overpaid": State((*BY_CREDITS, pays(100_00, payment_id="p0")), 0),
    "part reversed": State(
        (*BY_CREDITS, pays(95_00, payment_id="p0"), reverses("p0", 30_00, payment_id="r0")), 30_00
    ),
    "closed": State(BY_ONLY),
    "lost": State(LOST_CLOSED),
    "lost, noted": State((*LOST_CLOSED, pays(95_00, payment_id="p0"))),
    "credited": State((*BY_CREDITS, desk_pays(95_00, change_id="c0")), 0),
    "credited in part": State(PART_MADE, 65_00),
    "closed, in part": State((*BY_ONLY, desk_pays(30_00, change_id="c0")), 65_00),
    "credit left": State(
        (*PART_MADE, exports(MADE, terms=CREDITS, batch=2), pays(30_00, MADE, payment_id="p0")),
        65_00,
    ),
    "credit waived": State((*PART_MADE, waives(10_00, MADE, "c2")), 75_00),
    "credit paid out": State((*PART_MADE, desk_pays(10_00, MADE, "c2")), 65_00),
    "credit lowered": State((*PART_MADE, adjusts(10_00, MADE, "c2")), 85_00),
    "credit cancelled": State((*PART_MADE, cancels(MADE, "c2"))),
    "of library": State((*BY_CREDITS, OF_LIBRARY), 75_00),
    "of library, early": State((OF_LIBRARY, *BY_CREDITS), 75_00),
    "of another": State((*BY_CREDITS, OF_ANOTHER)),
    "of a credit": State((*BY_CREDITS, OF_CREDIT)),
    "refused, anew": State((*BY_CREDITS, REFUSED, exports(batch=2))),
    "anew by credits": State((FINE, exports(), REFUSED, exports(terms=CREDITS, batch=2))),
    "refused": State((*BY_CREDITS, REFUSED)),
    "a credit": State((creates(-95_00), exports(terms=CREDITS))),
    "a credit followed": State((*BY_ONLY, OF_LIBRARY, exports("C1", batch=2)), fine_id="C1"),
    "made, open": State(PART_MADE, 30_00, MADE),
    "made, exported": State((*PART_MADE, exports(MADE, terms=CREDITS, batch=2)), fine_id=MADE),
    "excess, exported": State(
        (*BY_CREDITS, pays(100_00, payment_id="p0"), exports(EXCESS, terms=CREDITS, batch=2)),
        fine_id=EXCESS,
    ),
}

EVENTS: dict[str, Callable[[State], Step]] = {
    "p1": lambda s: desk_pays(1, s.fine_id),
    "p=": lambda s: desk_pays(max(1, s.left), s.fine_id),
    "p>": lambda s: desk_pays(s.left + 1, s.fine_id),
    "v1": lambda s: waives(1, s.fine_id),
    "v=": lambda s: waives(max(1, s.left), s.fine_id),
    "v>": lambda s: waives(s.left + 1, s.fine_id),
    "p€": lambda s: changes(ChangeKind.PAID, 1, s.fine_id, currency="EUR"),
    "v€": lambda s: changes(ChangeKind.WAIVED, 1, s.fine_id, currency="EUR"),
    "a€": lambda s: changes(ChangeKind.ADJUSTED, 1, s.fine_id, currency="EUR"),
    "ad": lambda s: adjusts(96_00, s.fine_id),
    "ca": lambda s: cancels(s.fine_id),
    "di": lambda s: disputes(s.fine_id),
    "re": lambda s: restores(s.fine_id),
}

# Columns: paid a cent, all that may be credited, a cent more; waived likewise; paid, waived and
# adjusted in another currency; adjusted; cancelled; disputed; restored.
TABLE = """
                   p1 p= p> v1 v= v> p€ v€ a€ ad ca di re
open, rejects      ae ae ae ae ae ae cm cm cm ae ae ae ae
paid, rejects      ae ae ae ae ae ae cm cm cm ae ae ae ae
closed, rejects    ae ae ae ae ae ae cm cm cm ae ae ae ae
lost, rejects      ae ae ae ae ae ae cm cm cm ae ae ae ae
open               c  c  er c  c  er cm cm cm ae ae ae ae
open, adjusted     c  c  er c  c  er cm cm cm ae ae ae ae
open, was paid     c  c  er c  c  er cm cm cm ae ae ae ae
part paid          c  c  er c  c  er cm cm cm ae ae ae ae
paid               er er er er er er cm cm cm ae ae ae ae
overpaid           er er er er er er cm cm cm ae ae ae ae
part reversed      c  c  er c  c  er cm cm cm ae ae ae ae
closed             c  c  er c  c  er cm cm cm ae ae ae ae
lost               c  c  er c  c  er cm cm cm ae ae ae ae
lost, noted        c  c  er c  c  er cm cm cm ae ae ae ae
credited           er er er er er er cm cm cm ae ae ae ae
credited in part   c  c  er c  c  er cm cm cm ae ae ae ae
closed, in part    c  c  er c  c  er cm cm cm ae ae ae ae
credit left        c  c  er c  c  er cm cm cm ae ae ae ae
credit waived      c  c  er c  c  er cm cm cm ae ae ae ae
credit paid out    c  c  er c  c  er cm cm cm ae ae ae ae
credit lowered     c  c  er c  c  er cm cm cm ae ae ae ae
credit cancelled   c  c  er c  c  er cm cm cm ae ae ae ae
of library         c  c  er c  c  er cm cm cm ae ae ae ae
of library, early  c  c  er c  c  er cm cm cm ae ae ae ae
of another         c  c  er c  c  er cm cm cm ae ae ae ae
of a credit        c  c  er c  c  er cm cm cm ae ae ae ae
refused, anew      ae ae ae ae ae ae cm cm cm ae ae ae ae
anew by credits    c  c  er c  c  er cm cm cm ae ae ae ae
refused            +  +  er +  +  er cm cm cm +  +  +  nc
a credit           ae ae ae ae ae ae cm cm cm ae ae ae ae
a credit followed  ae ae ae ae ae ae cm cm cm ae ae ae ae
made, open         +  +  er +  +  er cm cm cm er +  +  nc
made, exported     ae ae ae ae ae ae cm cm cm ae ae ae ae
excess, exported   ae ae ae ae ae ae cm cm cm ae ae ae ae
"""

MEANING = {
    "+": "applied",
    "c": "applied, as a credit",
    "ae": "rejected:already_exported",
    "cm": "rejected:currency_mismatch",
    "er": "rejected:exceeds_remaining",
    "nc": "rejected:no_change",
}


@each_cell(TABLE, STATES, EVENTS, MEANING)
def test_each_exported_state_has_one_answer_to_each_change(
    state: str, event: str, outcome: str
) -> None:
    given = STATES[state]
    ledger = Ledger(*given.history)
    before = ledger.store.copy()
    done = ledger.take(EVENTS[event](given))
    is_credit = [line.kind for line in done.transactions] == [Kind.CREDIT]
    assert outcome_of_event(done) + (", as a credit" if is_credit else "") == outcome
    sound(ledger.store)
    if is_credit:  # the fine stays as it was
        (line,) = done.transactions
        assert line.fine.facts.credit_of == given.fine_id
        assert ledger.fine(given.fine_id) == before.fines[FINE.key._replace(fine_id=given.fine_id)]
    if outcome.startswith("rejected"):
        assert ledger.store.accounts == before.accounts
        assert but_instants(ledger.store) == but_instants(before)
        assert len(done.rejections) == 1


def test_what_is_refused_as_too_much_says_where() -> None:
    (rejection,) = Ledger(*BY_CREDITS).take(desk_pays(95_01)).rejections
    assert "at the bursar" in rejection.detail
