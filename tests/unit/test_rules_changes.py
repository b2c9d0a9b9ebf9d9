"""What the library changes about a fine that it has not exported (rules.md, 2, 2b and 4)."""

from collections.abc import Sequence
from dataclasses import replace

from service.core.ledger import LibraryRef
from service.core.words import ChangeKind, Kind
from tests.support.bursar import pays, refuses
from tests.support.given import (
    FINE,
    LIBRARY,
    LOST,
    ONLY,
    at,
    cancels,
    changes,
    creates,
    desk_pays,
    disputes,
    exports,
    restores,
    table,
    waives,
)
from tests.support.in_memory import (
    Ledger,
    Movement,
    Now,
    Step,
    check_applied,
    check_not_applied,
    closed,
    open_,
    outcome_of_event,
)

CREDIT = (creates(-20_00),)


LOST_ITEM = (creates(95_00, type_=LOST),)


CANCELLED = (*FINE, cancels(change_id="c0"))


DISPUTED = (*FINE, disputes(change_id="c0"))


@table(
    "history event state posted",
    ("2b paid in part", FINE, desk_pays(30_00), open_(65_00), ("desk_payment", 30_00, -30_00, 0)),
    ("2b paid in full", FINE, desk_pays(95_00), closed(), ("desk_payment", 95_00, -95_00, 0)),
    ("2b waived in part", FINE, waives(1), open_(94_99), ("waiver", 1, -1, 0)),
    ("2b waived in full", FINE, waives(95_00), closed(), ("waiver", 95_00, -95_00, 0)),
    ("2b cancelled", FINE, cancels(), closed(), ("cancellation", 95_00, -95_00, 0)),
    (
        "2b cancelled: all that remains goes",
        (*FINE, desk_pays(30_00, change_id="c0")),
        cancels(),
        closed(),
        ("cancellation", 65_00, -65_00, 0),
    ),
    ("2b disputed", FINE, disputes(), open_(95_00, "In dispute"), ("disputed", 0, 0, 0)),
    ("2b restored", DISPUTED, restores(), open_(95_00), ("restored", 0, 0, 0)),
    (
        "2b paid in part while in dispute",
        DISPUTED,
        desk_pays(30_00),
        open_(65_00, "In dispute"),
        ("desk_payment", 30_00, -30_00, 0),
    ),
    (
        "2b waived in full while in dispute",
        DISPUTED,
        waives(95_00),
        closed(),
        ("waiver", 95_00, -95_00, 0),
    ),
    (
        "2b cancelled while in dispute",
        DISPUTED,
        cancels(),
        closed(),
        ("cancellation", 95_00, -95_00, 0),
    ),
    (
        "2b a credit refunded in part: the other sign",
        CREDIT,
        desk_pays(5_00),
        open_(-15_00),
        ("desk_payment", 5_00, 5_00, 0),
    ),
    (
        "2b a credit waived in full: the other sign",
        CREDIT,
        waives(20_00),
        closed(),
        ("waiver", 20_00, 20_00, 0),
    ),
    (
        "2b a credit cancelled: the other sign",
        CREDIT,
        cancels(),
        closed(),
        ("cancellation", 20_00, 20_00, 0),
    ),
    (
        "2b a refused fine is the library's again",
        (*FINE, exports(), refuses()),
        desk_pays(95_00),
        closed(),
        ("desk_payment", 95_00, -95_00, 0),
    ),
)
def test_a_change_before_export_moves_the_active_balance(
    history: Sequence[Step], event: Step, state: Now, posted: Movement
) -> None:
    check_applied(Ledger(*history), event, state, [posted])


EUR = changes(ChangeKind.PAID, 1_00, currency="EUR")


@table(
    "history event outcome",
    ("2b-2 same identity, same content", (*FINE, desk_pays(1_00)), desk_pays(1_00), "repeat"),
    (
        "2b-3 same identity, other content",
        (*FINE, desk_pays(1_00)),
        desk_pays(2_00),
        "rejected:change_conflict",
    ),
    ("2b other currency", FINE, EUR, "rejected:currency_mismatch"),
    ("2b other currency before exported", (*FINE, exports()), EUR, "rejected:currency_mismatch"),
    ("2b other currency before closed", (*CANCELLED,), EUR, "rejected:currency_mismatch"),
    ("2b transferred", (*FINE, exports()), desk_pays(1_00), "rejected:already_exported"),
    (
        "2b transferred and paid",
        (*FINE, exports(), pays(95_00)),
        desk_pays(1_00),
        "rejected:already_exported",
    ),
    (
        "2b closed by its export",
        (*FINE, exports(terms=ONLY)),
        cancels(),
        "rejected:already_exported",
    ),
    (
        "2b lost, closed by its export",
        (*LOST_ITEM, exports()),
        disputes(),
        "rejected:already_exported",
    ),
    ("2b closed in the library: paid", CANCELLED, desk_pays(1_00), "rejected:already_closed"),
    ("2b closed in the library: cancelled", CANCELLED, cancels(), "rejected:already_closed"),
    ("2b closed in the library: restored", CANCELLED, restores(), "rejected:already_closed"),
    (
        "2b refused and closed in the library",
        (*FINE, exports(), refuses(), cancels(change_id="c0")),
        disputes(),
        "rejected:already_closed",
    ),
    ("2b paid more than remains", FINE, desk_pays(95_01), "rejected:exceeds_remaining"),
    (
        "2b waived more than remains",
        (*FINE, desk_pays(30_00, change_id="c0")),
        waives(65_01),
        "rejected:exceeds_remaining",
    ),
    (
        "2b a credit refunded beyond what remains",
        CREDIT,
        desk_pays(20_01),
        "rejected:exceeds_remaining",
    ),
    ("2b restored while Active", FINE, restores(), "rejected:no_change"),
    ("2b disputed while In dispute", DISPUTED, disputes(), "rejected:no_change"),
    ("2b fine unknown", (), desk_pays(1_00), "parked:unknown_fine"),
    ("2 created again, same content", FINE, creates(95_00), "repeat"),
    ("2 created again after it was cancelled", CANCELLED, creates(95_00), "repeat:already_closed"),
    (
        "2 created again after it was paid at the desk",
        (*FINE, desk_pays(95_00)),
        creates(95_00),
        "repeat:already_closed",
    ),
    (
        "2 created again after it was closed by its export",
        (*FINE, exports(terms=ONLY)),
        creates(95_00),
        "repeat",
    ),
    ("2 created again, other amount", FINE, creates(95_01), "rejected:fine_conflict"),
    ("2 created again, other owner", FINE, creates(95_00, owner=LIBRARY), "rejected:fine_conflict"),
    (
        "2 created again after it was paid",
        (*FINE, exports(), pays(95_00)),
        creates(95_00),
        "repeat",
    ),
)
def test_a_change_that_does_not_apply_moves_nothing(
    history: Sequence[Step], event: Step, outcome: str
) -> None:
    check_not_applied(Ledger(*history), event, outcome)


def test_a_rejected_change_keeps_its_identity() -> None:
    ledger = Ledger(*FINE, desk_pays(95_01))
    assert outcome_of_event(ledger.take(desk_pays(95_01))) == "repeat"
    assert outcome_of_event(ledger.take(desk_pays(1_00))) == "rejected:change_conflict"
    assert outcome_of_event(ledger.take(desk_pays(95_01))) == "repeat"


def test_a_change_names_the_library_as_its_cause() -> None:
    ledger = Ledger(*FINE)
    given = changes(ChangeKind.WAIVED, 5_00, reason="goodwill", comment="first time")
    line = ledger.take(given).transactions[0]
    assert line.cause == LibraryRef("alma", "c1", "goodwill")
    assert (line.comment, line.occurred_at) == ("first time", at(10))


def test_changes_ahead_of_their_fine_apply_in_the_order_they_came() -> None:
    ledger = Ledger(desk_pays(95_00, change_id="c1"), waives(1_00, change_id="c2"))
    done = ledger.take(creates(95_00))
    assert [line.kind for line in done.transactions] == [Kind.FINE, Kind.DESK_PAYMENT]
    assert ledger.reasons() == ["already_closed"]
    assert ledger.waits() == {}


def test_a_change_is_known_by_its_source_too() -> None:
    ledger = Ledger(*FINE, desk_pays(1_00))
    other = replace(desk_pays(2_00), key=desk_pays(2_00).key._replace(source="desk2"))
    assert outcome_of_event(ledger.take(other)) == "applied"
    assert ledger.fine().remaining == 92_00
