"""Every state of a fine against every kind of event: exactly one outcome each, in one table."""

from collections.abc import Callable
from dataclasses import dataclass

from service.core.ledger import Fine, SourceKey
from service.core.payments import excess_credit_id
from service.core.words import ChangeKind
from service.core.workspace import Changes
from tests.support.bursar import accepts, pays, refuses, responds, reverses, tells, writes_off
from tests.support.given import (
    ERP,
    HOLDS,
    LOST,
    ONLY,
    REJECTS,
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
CREDIT = creates(-20_00)
LOST_ITEM = creates(95_00, type_=LOST)
EXCESS = excess_credit_id(SourceKey(UNI, ERP, "p0"))
P0 = {"payment_id": "p0"}
REVERSED = reverses("p0", payment_id="r0")
PART_BACK = reverses("p0", 30_00, payment_id="r0")
CANCELLED = cancels(change_id="c0")
REFUSED = refuses(response_id="a0")


@dataclass(frozen=True, slots=True)
class State:
    """A history, the fine of it that the events are about, and the profile it left under."""

    history: tuple[Step, ...]
    created: Step = FINE
    fine_id: str = "F1"
    profile: str = "BOTH"


STATES = {
    "unknown": State(()),
    "Active": State((FINE,)),
    "Active part paid": State((FINE, desk_pays(30_00, change_id="c0"))),
    "Active, adjusted": State((FINE, adjusts(97_50, change_id="c0", minute=15))),
    "Active, restored": State((FINE, restores(change_id="c0", minute=15))),
    "In dispute": State((FINE, disputes(change_id="c0"))),
    "closed": State((FINE, CANCELLED)),
    "export-only": State((FINE, exports(terms=ONLY)), profile="ONLY"),
    "lost, closed": State((LOST_ITEM, exports()), LOST_ITEM),
    "lost, noted": State((LOST_ITEM, exports(), pays(95_00, **P0)), LOST_ITEM),
    "lost, part rev.": State((LOST_ITEM, exports(), pays(95_00, **P0), PART_BACK), LOST_ITEM),
    "open": State((FINE, exports())),
    "open, adjusted": State((FINE, adjusts(97_50, change_id="c0", minute=15), exports())),
    "part paid": State((FINE, exports(), pays(40_00, **P0))),
    "paid": State((FINE, exports(), pays(95_00, **P0))),
    "written off": State((FINE, exports(), writes_off(95_00, **P0))),
    "overpaid": State((FINE, exports(), pays(100_00, **P0))),
    "reversed": State((FINE, exports(), pays(95_00, **P0), REVERSED)),
    "part reversed": State((FINE, exports(), pays(95_00, **P0), PART_BACK)),
    "open, rejects": State((FINE, exports(terms=REJECTS))),
    "paid, rejects": State((FINE, exports(terms=REJECTS), pays(95_00, **P0))),
    "open, holds": State((FINE, exports(terms=HOLDS))),
    "paid, holds": State((FINE, exports(terms=HOLDS), pays(95_00, **P0))),
    "held overpayment": State((FINE, exports(terms=HOLDS), pays(95_01, **P0))),
    "refused": State((FINE, exports(), REFUSED)),
    "exported anew": State((FINE, exports(), REFUSED, exports(batch=2))),
    "credit": State((CREDIT,), CREDIT),
    "credit, disputed": State((CREDIT, disputes(change_id="c0")), CREDIT),
    "credit, closed": State((CREDIT, CANCELLED), CREDIT),
    "credit, only": State((CREDIT, exports(terms=ONLY)), CREDIT, profile="ONLY"),
    "credit, open": State((CREDIT, exports()), CREDIT),
    "credit, holds": State((CREDIT, exports(terms=HOLDS)), CREDIT),
    "credit, in part": State((CREDIT, exports(), pays(5_00, **P0)), CREDIT),
    "credit, refunded": State((CREDIT, exports(), pays(20_00, **P0)), CREDIT),
    "excess": State((FINE, exports(), pays(100_00, **P0)), fine_id=EXCESS),
    "excess, used": State(
        (FINE, exports(), pays(100_00, **P0), desk_pays(1, EXCESS, "c0")), fine_id=EXCESS
    ),
    "excess, disputed": State(
        (FINE, exports(), pays(100_00, **P0), disputes(EXCESS, change_id="c0")), fine_id=EXCESS
    ),
    "excess, exported": State(
        (FINE, exports(), pays(100_00, **P0), exports(EXCESS, batch=2)), fine_id=EXCESS
    ),
    "excess, closed": State((FINE, exports(), pays(100_00, **P0), REVERSED), fine_id=EXCESS),
}

Make = Callable[[State, Fine | None], Step]


def due(fine: Fine | None) -> int:
    """What the bursar could collect, else what the library could, else the fine's 95.00."""
    return abs(fine.outstanding or fine.remaining or 95_00) if fine else 95_00


def left(fine: Fine | None) -> int:
    return abs(fine.remaining) if fine and fine.remaining else 95_00


def worth(fine: Fine | None) -> int:
    """The amount as adjusted, as a record gives it."""
    return abs(fine.amount) if fine else 95_00


def too_little(fine: Fine | None) -> int:
    """Just less than what was paid and waived in the library, if anything was."""
    return max(1, worth(fine) - left(fine) - 1)


EVENTS: dict[str, Make] = {
    "sm": lambda s, _: s.created,
    "ot": lambda s, _: creates(96_00, s.fine_id),
    "d<": lambda s, _: desk_pays(1, s.fine_id),
    "d>": lambda s, f: desk_pays(left(f) + 1, s.fine_id),
    "v=": lambda s, f: waives(left(f), s.fine_id),
    "ca": lambda s, _: cancels(s.fine_id),
    "di": lambda s, _: disputes(s.fine_id),
    "re": lambda s, _: restores(s.fine_id),
    "a+": lambda s, f: adjusts(worth(f) + 1, s.fine_id),
    "a=": lambda s, f: adjusts(worth(f), s.fine_id),
    "a-": lambda s, f: adjusts(too_little(f), s.fine_id),
    "a€": lambda s, _: changes(ChangeKind.ADJUSTED, 1, s.fine_id, currency="EUR"),
    "d€": lambda s, _: changes(ChangeKind.PAID, 1, s.fine_id, currency="EUR"),
    "p<": lambda s, f: pays(due(f) - 1, s.fine_id),
    "p=": lambda s, f: pays(due(f), s.fine_id),
    "p>": lambda s, f: pays(due(f) + 1, s.fine_id),
    "p€": lambda s, _: pays(1, s.fine_id, currency="EUR"),
    "w<": lambda s, f: writes_off(due(f) - 1, s.fine_id),
    "w=": lambda s, f: writes_off(due(f), s.fine_id),
    "w>": lambda s, f: writes_off(due(f) + 1, s.fine_id),
    "st": lambda s, _: tells("invoiced", s.fine_id),
    "r0": lambda _, __: reverses("p0"),
    "r<": lambda _, __: reverses("p0", 1),
    "r>": lambda _, __: reverses("p0", 100_01),
    "r?": lambda s, _: reverses("p9", fine_id=s.fine_id),
    "ok": lambda s, _: responds(accepts().outcome, profile=s.profile),
    "no": lambda s, _: refuses(profile=s.profile),
    "l1": lambda s, _: refuses("1001", profile=s.profile),
}

# Columns: created again same, other; desk pays less, more; waived whole; cancelled; disputed;
# restored; adjusted to more, to the same, to less than was paid (if anything was), in euro; desk
# pays in euro; payment <, =, > what is due, in euro; write-off <, =, >; status; reversal of p0, of
# a part of it, of more than it was, of an unknown payment; batch 1 accepted, refused, its first
# line refused.
TABLE = """
                 sm ot d< d> v= ca di re a+ a= a- a€ d€ p< p= p> p€ w< w= w> st r0 r< r> r? ok no l1
unknown          +  +  UF UF UF UF UF UF UF UF UF UF UF UF UF UF UF UF UF UF UF UO UO UO UO ub ub ub
Active           =  fc +  er +  +  +  nc +  nc +  cm cm NE NE NE cm NE NE NE NE UO UO UO UO ub ub ub
Active part paid =  fc +  er +  +  +  nc +  nc er cm cm NE NE NE cm NE NE NE NE UO UO UO UO ub ub ub
Active, adjusted =  fc +  er +  +  +  nc ov ov ov cm cm NE NE NE cm NE NE NE NE UO UO UO UO ub ub ub
Active, restored =  fc +  er +  +  ov ov +  nc +  cm cm NE NE NE cm NE NE NE NE UO UO UO UO ub ub ub
In dispute       =  fc +  er +  +  nc +  +  nc +  cm cm NE NE NE cm NE NE NE NE UO UO UO UO ub ub ub
closed           =c fc ac ac ac ac ac ac ac ac ac cm cm nl nl nl cm nl nl nl nl UO UO UO UO ub ub ub
export-only      =  fc ae ae ae ae ae ae ae ae ae cm cm in in in cm in in in in UO UO UO UO +  +  +
lost, closed     =  fc ae ae ae ae ae ae ae ae ae cm cm n  n  n  cm n  n  n  n  UO UO UO UO +  +  +
lost, noted      =  fc ae ae ae ae ae ae ae ae ae cm cm n  n  n  cm n  n  n  n  n  n  am UO +  ap ap
lost, part rev.  =  fc ae ae ae ae ae ae ae ae ae cm cm n  n  n  cm n  n  n  n  n  n  am UO +  ap ap
open             =  fc ae ae ae ae ae ae ae ae ae cm cm +  +  +c cm +  +  eo n  UO UO UO UO +  +  +
open, adjusted   =  fc ae ae ae ae ae ae ov ov ov cm cm +  +  +c cm +  +  eo n  UO UO UO UO +  +  +
part paid        =  fc ae ae ae ae ae ae ae ae ae cm cm +  +  +c cm +  +  eo n  +  +  am UO +  ap ap
paid             =  fc ae ae ae ae ae ae ae ae ae cm cm +c +c +c cm eo eo eo n  +  +  am UO +  ap ap
written off      =  fc ae ae ae ae ae ae ae ae ae cm cm +c +c +c cm eo eo eo n  +  +  am UO +  ap ap
overpaid         =  fc ae ae ae ae ae ae ae ae ae cm cm +c +c +c cm eo eo eo n  +  am am UO +  ap ap
reversed         =  fc ae ae ae ae ae ae ae ae ae cm cm +  +  +c cm +  +  eo n  ar ar ar UO +  +  +
part reversed    =  fc ae ae ae ae ae ae ae ae ae cm cm +  +  +c cm +  +  eo n  +  +  am UO +  ap ap
open, rejects    =  fc ae ae ae ae ae ae ae ae ae cm cm +  +  op cm +  +  eo n  UO UO UO UO +  +  +
paid, rejects    =  fc ae ae ae ae ae ae ae ae ae cm cm op op op cm eo eo eo n  +  +  am UO +  ap ap
open, holds      =  fc ae ae ae ae ae ae ae ae ae cm cm +  +  OH cm +  +  eo n  UO UO UO UO +  +  +
paid, holds      =  fc ae ae ae ae ae ae ae ae ae cm cm OH OH OH cm eo eo eo n  +  +  am UO +  ap ap
held overpayment =  fc ae ae ae ae ae ae ae ae ae cm cm +  +  OH cm +  +  eo n  UO UO UO UO +  +  +
refused          =  fc +  er +  +  +  nc +  nc +  cm cm NE NE NE cm NE NE NE NE UO UO UO UO +  nl nl
exported anew    =  fc ae ae ae ae ae ae ae ae ae cm cm +  +  +c cm +  +  eo n  UO UO UO UO +  nl nl
credit           =  fc +  er +  +  +  nc +  nc +  cm cm NE NE NE cm NE NE NE NE UO UO UO UO ub ub ub
credit, disputed =  fc +  er +  +  nc +  +  nc +  cm cm NE NE NE cm NE NE NE NE UO UO UO UO ub ub ub
credit, closed   =c fc ac ac ac ac ac ac ac ac ac cm cm nl nl nl cm nl nl nl nl UO UO UO UO ub ub ub
credit, only     =  fc ae ae ae ae ae ae ae ae ae cm cm in in in cm in in in in UO UO UO UO +  +  +
credit, open     =  fc ae ae ae ae ae ae ae ae ae cm cm +  +  eo cm +  +  eo n  UO UO UO UO +  +  +
credit, holds    =  fc ae ae ae ae ae ae ae ae ae cm cm +  +  eo cm +  +  eo n  UO UO UO UO +  +  +
credit, in part  =  fc ae ae ae ae ae ae ae ae ae cm cm +  +  eo cm +  +  eo n  +  +  am UO +  ap ap
credit, refunded =  fc ae ae ae ae ae ae ae ae ae cm cm eo eo eo cm eo eo eo n  +  +  am UO +  ap ap
excess           =  fc +  er +  +  +  nc er nc +  cm cm NE NE NE cm NE NE NE NE +  am am UO +  ap ap
excess, used     =  fc +  er +  +  +  nc er nc +  cm cm NE NE NE cm NE NE NE NE ce am am UO +  ap ap
excess, disputed =  fc +  er +  +  nc +  er nc +  cm cm NE NE NE cm NE NE NE NE +  am am UO +  ap ap
excess, exported =  fc ae ae ae ae ae ae ae ae ae cm cm +  +  eo cm +  +  eo n  ce am am UO +  ap ap
excess, closed   =  fc ac ac ac ac ac ac ac ac ac cm cm nl nl nl cm nl nl nl nl ar ar ar UO +  +  +
"""

MEANING = {
    "+": "applied",
    "+c": "applied, with a credit of the excess",
    "n": "noted",
    "=": "repeat",
    "=c": "repeat:already_closed",
    "UF": "parked:unknown_fine",
    "NE": "parked:not_exported",
    "UO": "parked:unknown_original",
    "OH": "parked:overpaid_held",
    "fc": "rejected:fine_conflict",
    "cm": "rejected:currency_mismatch",
    "ov": "rejected:overtaken",
    "ae": "rejected:already_exported",
    "ac": "rejected:already_closed",
    "er": "rejected:exceeds_remaining",
    "nc": "rejected:no_change",
    "in": "rejected:import_not_active",
    "eo": "rejected:exceeds_outstanding",
    "op": "rejected:overpaid",
    "ar": "rejected:already_reversed",
    "am": "rejected:amount_mismatch",
    "ce": "rejected:credit_already_exported",
    "ub": "rejected:unknown_batch",
    "nl": "rejected:not_live",
    "ap": "rejected:already_paid",
}


def effect_of(done: Changes) -> str:
    made = [line for line in done.transactions if line.kind.value == "credit"]
    has_excess = outcome_of_event(done) == "applied" and any(line.cause for line in made)
    return outcome_of_event(done) + (", with a credit of the excess" if has_excess else "")


@each_cell(TABLE, STATES, EVENTS, MEANING)
def test_each_state_has_one_answer_to_each_event(state: str, event: str, outcome: str) -> None:
    given = STATES[state]
    ledger = Ledger(*given.history)
    before = ledger.store.copy()
    fine = ledger.fine(given.fine_id) if given.history else None
    done = ledger.take(EVENTS[event](given, fine))
    assert effect_of(done) == outcome
    sound(ledger.store)
    if outcome.startswith(("parked", "rejected", "repeat")):
        assert ledger.store.accounts == before.accounts
        assert but_instants(ledger.store) == but_instants(before)
        assert ledger.store.transactions == before.transactions
        assert len(done.rejections) == outcome.startswith("rejected")
