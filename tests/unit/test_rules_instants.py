"""Late changes and changes of equal instants, in every state of a fine (rules.md, 2b).

Each history has one change of the minute 15 that gives an instant, or that must not give one. Each
event is of the minute 10, 15 or 20, and is read after that history.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from service.core.events import Replay
from service.core.words import ChangeKind
from tests.support.bursar import pays, refuses
from tests.support.given import (
    CREDIT_ID,
    CREDITS,
    LOST,
    ONLY,
    adjusts,
    cancels,
    changes,
    creates,
    desk_pays,
    disputes,
    exports,
    restores,
)
from tests.support.in_memory import Ledger, Step, outcome_of_event
from tests.support.matrix import each_cell
from tests.support.view_store import sound

FINE = creates(95_00)
LOST_ITEM = creates(95_00, type_=LOST)
CREDIT = creates(-95_00)
ADJUSTED = adjusts(97_50, change_id="c0", minute=15)
DISPUTED = disputes(change_id="c0", minute=15)
RESTORED = restores(change_id="c0", minute=15)
REFUSED = refuses(response_id="a0")
IN_EURO = changes(ChangeKind.ADJUSTED, 97_50, change_id="c0", currency="EUR", minute=15)

HISTORIES: dict[str, tuple[Step, ...]] = {
    "nothing": (FINE,),
    "adjusted": (FINE, ADJUSTED),
    "disputed": (FINE, DISPUTED),
    "restored": (FINE, RESTORED),
    "disputed, restored": (FINE, disputes(change_id="c2", minute=12), RESTORED),
    "restored, disputed": (FINE, restores(change_id="c2", minute=12), DISPUTED),
    "adjusted, unknown": (ADJUSTED, FINE),
    "disputed, unknown": (DISPUTED, FINE),
    "late, unknown": (DISPUTED, restores(change_id="c2", minute=12), FINE),
    "adjusted to same": (FINE, adjusts(95_00, change_id="c0", minute=15)),
    "adjusted too low": (
        FINE,
        desk_pays(30_00, change_id="c2"),
        adjusts(10_00, change_id="c0", minute=15),
    ),
    "adjusted in euro": (FINE, IN_EURO),
    "closed, adjusted": (FINE, cancels(change_id="c2"), ADJUSTED),
    "closed, disputed": (FINE, cancels(change_id="c2"), DISPUTED),
    "closed, restored": (FINE, cancels(change_id="c2"), RESTORED),
    "adjusted, closed": (FINE, ADJUSTED, cancels(change_id="c2")),
    "open, adjusted": (FINE, exports(), ADJUSTED),
    "open, disputed": (FINE, exports(), DISPUTED),
    "open, restored": (FINE, exports(), RESTORED),
    "open, in euro": (FINE, exports(), IN_EURO),
    "adjusted, open": (FINE, ADJUSTED, exports()),
    "only, adjusted": (FINE, exports(terms=ONLY), ADJUSTED),
    "only, disputed": (FINE, exports(terms=ONLY), DISPUTED),
    "lost, adjusted": (LOST_ITEM, exports(), ADJUSTED),
    "lost, restored": (LOST_ITEM, exports(), RESTORED),
    "credits, adjusted": (FINE, exports(terms=CREDITS), ADJUSTED),
    "credits, disputed": (FINE, exports(terms=CREDITS), DISPUTED),
    "refused, adjusted": (FINE, exports(), ADJUSTED, REFUSED),
    "refused, disputed": (FINE, exports(), DISPUTED, REFUSED),
    "refused, restored": (FINE, exports(), RESTORED, REFUSED),
    "credit, adjusted": (CREDIT, ADJUSTED),
    "credit, disputed": (CREDIT, DISPUTED),
    "credit, open": (CREDIT, exports(), ADJUSTED),
}

EVENTS: dict[str, Callable[[], Step]] = {
    "a<": lambda: adjusts(96_00),
    "a=": lambda: adjusts(96_00, minute=15),
    "a>": lambda: adjusts(96_00, minute=20),
    "d<": disputes,
    "d=": lambda: disputes(minute=15),
    "d>": lambda: disputes(minute=20),
    "r<": restores,
    "r=": lambda: restores(minute=15),
    "r>": lambda: restores(minute=20),
    "p<": lambda: desk_pays(1),
    "c<": cancels,
}

# Columns: adjusted, disputed, restored, each before the minute 15, in it and after it; paid and
# cancelled before it, which are never late.
TABLE = """
                    a< a= a> d< d= d> r< r= r> p< c<
nothing             +  +  +  +  +  +  nc nc nc +  +
adjusted            ov +  +  +  +  +  nc nc nc +  +
disputed            +  +  +  ov nc nc ov +  +  +  +
restored            +  +  +  ov +  +  ov nc nc +  +
disputed, restored  +  +  +  ov +  +  ov nc nc +  +
restored, disputed  +  +  +  ov nc nc ov +  +  +  +
adjusted, unknown   ov +  +  +  +  +  nc nc nc +  +
disputed, unknown   +  +  +  ov nc nc ov +  +  +  +
late, unknown       +  +  +  ov nc nc ov +  +  +  +
adjusted to same    ov +  +  +  +  +  nc nc nc +  +
adjusted too low    +  +  +  +  +  +  nc nc nc +  +
adjusted in euro    +  +  +  +  +  +  nc nc nc +  +
closed, adjusted    ov ac ac ac ac ac ac ac ac ac ac
closed, disputed    ac ac ac ov ac ac ov ac ac ac ac
closed, restored    ac ac ac ov ac ac ov ac ac ac ac
adjusted, closed    ov ac ac ac ac ac ac ac ac ac ac
open, adjusted      ov ae ae ae ae ae ae ae ae ae ae
open, disputed      ae ae ae ov ae ae ov ae ae ae ae
open, restored      ae ae ae ov ae ae ov ae ae ae ae
open, in euro       ae ae ae ae ae ae ae ae ae ae ae
adjusted, open      ov ae ae ae ae ae ae ae ae ae ae
only, adjusted      ov ae ae ae ae ae ae ae ae ae ae
only, disputed      ae ae ae ov ae ae ov ae ae ae ae
lost, adjusted      ov ae ae ae ae ae ae ae ae ae ae
lost, restored      ae ae ae ov ae ae ov ae ae ae ae
credits, adjusted   ov ae ae ae ae ae ae ae ae +  ae
credits, disputed   ae ae ae ov ae ae ov ae ae +  ae
refused, adjusted   ov +  +  +  +  +  nc nc nc +  +
refused, disputed   +  +  +  ov +  +  ov nc nc +  +
refused, restored   +  +  +  ov +  +  ov nc nc +  +
credit, adjusted    ov +  +  +  +  +  nc nc nc +  +
credit, disputed    +  +  +  ov nc nc ov +  +  +  +
credit, open        ov ae ae ae ae ae ae ae ae ae ae
"""

MEANING = {
    "+": "applied",
    "ae": "rejected:already_exported",
    "ac": "rejected:already_closed",
    "nc": "rejected:no_change",
    "ov": "rejected:overtaken",
}


@each_cell(TABLE, HISTORIES, EVENTS, MEANING)
def test_each_instant_has_one_answer(state: str, event: str, outcome: str) -> None:
    ledger = Ledger(*HISTORIES[state])
    assert outcome_of_event(ledger.take(EVENTS[event]())) == outcome
    sound(ledger.store)


MADE = (FINE, exports(), pays(100_00))
LATE = adjusts(4_00, CREDIT_ID, "c2", minute=10)


@pytest.mark.parametrize(
    ("amount", "outcome"),
    [(6_00, "applied"), (5_00, "rejected:overtaken"), (3_00, "rejected:overtaken")],
)
def test_a_made_credit_keeps_no_instant_of_more_than_it_was_made_with(
    amount: int, outcome: str
) -> None:
    ledger = Ledger(*MADE, adjusts(amount, CREDIT_ID, minute=15))
    assert outcome_of_event(ledger.take(LATE)) == outcome


def test_an_instant_that_was_kept_while_the_fine_was_away_counts_when_it_is_back() -> None:
    """Two changes of a fine at the bursar are refused, and their order counts all the same."""
    history = (FINE, exports(), adjusts(97_50, change_id="c2", minute=20), DISPUTED)
    ledger = Ledger(*history, REFUSED)
    late = [adjusts(96_00, "F1", "c3", minute=19), restores(change_id="c4", minute=14)]
    assert [outcome_of_event(ledger.take(each)) for each in late] == ["rejected:overtaken"] * 2
    assert ledger.fine().amount == 95_00


def test_the_replay_of_a_refused_change_is_late_if_a_later_one_was_read() -> None:
    too_late = adjusts(97_50, change_id="c0", minute=15)
    ledger = Ledger(FINE, exports(), too_late, REFUSED, adjusts(96_00, minute=16))
    assert ledger.fine().amount == 96_00
    assert outcome_of_event(ledger.store.fold(Replay(too_late))) == "rejected:overtaken"
    assert ledger.fine().amount == 96_00
