"""A person gives a fine the line that waits for it, or gives the line up (rules.md, 5b)."""

from collections.abc import Sequence

import pytest

from service.core.events import DropLine, GiveLine
from service.core.ledger import FineKey, LineKey
from service.core.taking import LineNotGiven
from tests.support.bursar import pays, refuses
from tests.support.given import (
    LOST,
    UNI,
    adjusts,
    cancels,
    creates,
    desk_pays,
    disputes,
    exports,
    table,
    waives,
)
from tests.support.in_memory import Ledger, Movement, Step, moved, now, open_, transferred
from tests.support.recovering import recovering
from tests.support.view_store import sound
from tests.unit.test_rules_adopted import states

GIVEN = GiveLine(LineKey(UNI, "1001"), FineKey(UNI, "F1"))
CUTOFF = exports().fines[0].cutoff
DROPPED = DropLine(LineKey(UNI, "1001"), FineKey(UNI, "F1"))


def with_line(*before: Step) -> Ledger:
    return recovering(*before, adopted=[(exports(), 95_00)])


@table(
    "history amount posted",
    (
        "5b.11 less remains",
        (creates(90_00),),
        95_00,
        [("adjustment", 5_00, 5_00, 0)],
    ),
    (
        "5b.11 more remains",
        (creates(100_00),),
        95_00,
        [("adjustment", -5_00, -5_00, 0)],
    ),
    (
        "5b.11 what was paid stands",
        (creates(100_00), desk_pays(30_00)),
        125_00,
        [("adjustment", 25_00, 25_00, 0)],
    ),
    (
        "5b.11 in dispute",
        (creates(95_00), disputes()),
        95_00,
        [("restored", 0, 0, 0)],
    ),
    (
        "5b.11 in dispute with another amount",
        (creates(90_00), disputes()),
        95_00,
        [("restored", 0, 0, 0), ("adjustment", 5_00, 5_00, 0)],
    ),
    (
        "5b.11 closed in the library",
        (creates(100_00), cancels()),
        195_00,
        [("adjustment", 95_00, 95_00, 0)],
    ),
)
def test_a_person_gives_a_fine_its_line(
    history: Sequence[Step], amount: int, posted: Sequence[Movement]
) -> None:
    ledger = with_line(*history)
    done = ledger.store.fold(GIVEN)
    assert [moved(line) for line in done.transactions] == [
        *posted,
        ("export_and_paid", 95_00, -95_00, 95_00),
    ]
    assert now(ledger) == transferred(95_00)
    assert ledger.fine().amount == amount
    assert {line.occurred_at for line in done.transactions} == {CUTOFF}
    assert {line.fine.considered.value for line in done.transactions} == {"active"}
    assert states(ledger) == {"1001": "taken"}
    sound(ledger.store)


def test_what_waits_for_the_fine_is_applied_when_a_person_gives_it_the_line() -> None:
    ledger = with_line(creates(90_00))
    ledger.take(pays(95_00))
    ledger.store.fold(GIVEN)
    assert ledger.waits() == {}
    assert now(ledger) == transferred(0)


def test_a_refusal_that_was_kept_takes_effect_when_a_person_gives_the_line() -> None:
    ledger = with_line(creates(90_00))
    ledger.take(refuses("1001"))
    ledger.store.fold(GIVEN)
    assert now(ledger) == open_(95_00)
    assert ledger.line_state("1001") == "refused"


@table(
    "history text",
    ("5b.11 the fine is not known", (), "is not known"),
    ("5b.11 it is a credit", (creates(-95_00),), "only one of the two is a credit"),
    ("5b.11 another currency", (creates(95_00, currency="EUR"),), "another currency"),
    ("5b.11 it is taken", (creates(95_00),), "does not wait"),
)
def test_a_line_that_the_fine_cannot_have_is_not_given(history: Sequence[Step], text: str) -> None:
    ledger = with_line()
    for step in history:
        ledger.take(step)
    before = ledger.store.copy()
    with pytest.raises(LineNotGiven, match=text):
        ledger.store.fold(GIVEN)
    assert ledger.store == before


def test_a_line_is_not_given_beside_one_that_was_paid() -> None:
    ledger = recovering(creates(95_00), exports(), pays(95_00), adopted=[(exports(batch=2), 95_00)])
    with pytest.raises(LineNotGiven, match=r"another line that the bursar has not refused$"):
        ledger.store.fold(GiveLine(LineKey(UNI, "2001"), FineKey(UNI, "F1")))


def test_the_older_of_two_lines_is_given_first() -> None:
    ledger = recovering(creates(90_00), adopted=[(exports(), 95_00), (exports(batch=2), 95_00)])
    with pytest.raises(LineNotGiven, match="an older line"):
        ledger.store.fold(GiveLine(LineKey(UNI, "2001"), FineKey(UNI, "F1")))
    ledger.store.fold(GIVEN)
    assert states(ledger) == {"1001": "taken", "2001": "taken"}
    assert now(ledger) == transferred(95_00)
    sound(ledger.store)


def test_a_line_that_is_dropped_counts_as_refused() -> None:
    ledger = with_line(creates(90_00))
    assert ledger.store.fold(DROPPED).transactions == ()
    assert states(ledger) == {"1001": "dropped"}
    assert ledger.line_state("1001") == "refused"
    assert now(ledger) == open_(90_00)
    ledger.take(exports(batch=2))
    assert now(ledger) == transferred(90_00)
    sound(ledger.store)


def test_a_line_of_no_fine_can_be_dropped() -> None:
    ledger = with_line()
    ledger.store.fold(DROPPED)
    ledger.take(creates(95_00))
    assert now(ledger) == open_(95_00)


def test_a_line_is_dropped_once() -> None:
    ledger = with_line()
    ledger.store.fold(DROPPED)
    with pytest.raises(LineNotGiven, match="does not wait"):
        ledger.store.fold(DROPPED)


def test_money_for_a_line_that_is_dropped_waits_for_the_next_export() -> None:
    ledger = with_line(creates(90_00))
    ledger.take(pays(90_00, None, line="1001"))
    ledger.store.fold(DROPPED)
    assert ledger.waits() == {"p1": "not_exported"}
    ledger.take(exports(batch=2))
    assert now(ledger) == transferred(0)


def test_money_for_a_closed_fine_is_rejected_when_its_line_is_dropped() -> None:
    ledger = with_line(creates(90_00), cancels())
    ledger.take(pays(95_00))
    ledger.store.fold(DROPPED)
    assert ledger.reasons() == ["not_live"]


def test_the_newer_line_is_taken_when_the_older_is_dropped() -> None:
    ledger = recovering(creates(90_00), adopted=[(exports(), 95_00), (exports(batch=2), 90_00)])
    ledger.store.fold(DROPPED)
    assert now(ledger) == transferred(90_00)
    assert states(ledger) == {"1001": "dropped", "2001": "taken"}


def test_a_credit_that_waited_for_its_fine_takes_its_line_when_that_of_the_fine_is_dropped() -> (
    None
):
    amounts = {"F1": 95_00, "C1": -20_00}
    ledger = recovering(adopted=[(exports("F1", "C1"), amounts)], closed=["F1", "C1"])
    for step in (creates(90_00, type_=LOST), creates(-20_00, "C1", credit_of="F1")):
        ledger.take(step)
    assert states(ledger) == {"1001": "waiting", "1002": "waiting"}
    ledger.store.fold(DROPPED)
    assert states(ledger) == {"1001": "dropped", "1002": "taken"}
    sound(ledger.store)


def test_a_given_fine_keeps_what_the_library_has_adjusted() -> None:
    ledger = with_line(creates(100_00), adjusts(90_00), waives(10_00, change_id="c2"))
    ledger.store.fold(GIVEN)
    assert ledger.fine().amount == 105_00
    assert now(ledger) == transferred(95_00)
