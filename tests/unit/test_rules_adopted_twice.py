"""A fine for which two adopted lines wait, because it was exported twice (rules.md, 5b)."""

from collections.abc import Sequence

from service.core.after_export import change_credit_id
from service.core.events import TakeLines
from service.core.ledger import FineKey, LineKey
from tests.support.given import CREDITS, UNI, cancels, creates, desk_pays, exports, table, waives
from tests.support.in_memory import Movement, Now, Step, moved, now, open_, transferred
from tests.support.recovering import recovering
from tests.support.view_store import sound

F1 = FineKey(UNI, "F1")
TWO: Sequence[Movement] = (
    ("fine", 95_00, 95_00, 0),
    ("export_and_paid", 95_00, -95_00, 95_00),
    ("export_rejected", 95_00, 95_00, -95_00),
)


@table(
    "second steps posted",
    (
        "5b.5 exported again as it was",
        95_00,
        (creates(95_00),),
        (*TWO, ("export_and_paid", 95_00, -95_00, 95_00)),
    ),
    (
        "5b.5 exported again with less",
        65_00,
        (creates(95_00), waives(30_00)),
        (
            *TWO,
            ("waiver", 30_00, -30_00, 0),
            ("export_and_paid", 65_00, -65_00, 65_00),
        ),
    ),
)
def test_of_two_lines_of_a_fine_the_older_counts_as_refused(
    second: int, steps: Sequence[Step], posted: Sequence[Movement]
) -> None:
    ledger = recovering(adopted=[(exports(), 95_00), (exports(batch=2), second)])
    for step in steps:
        ledger.take(step)
    assert [moved(line) for line in ledger.store.transactions] == list(posted)
    assert now(ledger) == transferred(second)
    assert (ledger.line_state("1001"), ledger.line_state("2001")) == ("refused", "live")
    assert ledger.fine().refused_reason is None
    sound(ledger.store)


def test_a_live_line_counts_as_refused_when_a_newer_one_waits() -> None:
    ledger = recovering(creates(95_00), exports(), adopted=[(exports(batch=2), 65_00)])
    ledger.store.fold(TakeLines(F1))
    assert now(ledger) == open_(95_00)
    assert ledger.store.lines[LineKey(UNI, "1001")].reason is None
    ledger.take(waives(30_00))
    assert now(ledger) == transferred(65_00)
    sound(ledger.store)


def test_5b_6_a_live_line_stays_live_as_long_as_a_credit_forbids_its_refusal() -> None:
    ledger = recovering(
        creates(95_00),
        exports(terms=CREDITS),
        desk_pays(30_00),
        adopted=[(exports(batch=2), 95_00)],
    )
    assert ledger.store.fold(TakeLines(F1)).transactions == ()
    assert now(ledger) == transferred(95_00, active=-30_00)
    ledger.take(cancels(change_credit_id(desk_pays(30_00).key), "c2"))
    ledger.store.fold(TakeLines(F1))
    assert (ledger.line_state("1001"), ledger.line_state("2001")) == ("refused", "live")
    assert now(ledger) == transferred(95_00)
    sound(ledger.store)


CREDIT = creates(-20_00, "C1", credit_of="F1")


@table(
    "steps",
    ("5b.5 the fine first", (creates(95_00), CREDIT)),
    ("5b.5 the credit first", (CREDIT, creates(95_00))),
)
def test_a_credit_that_has_its_newer_line_does_not_keep_the_older_line_of_its_fine(
    steps: Sequence[Step],
) -> None:
    """When the newer lines were published, the older ones had been refused together."""
    batches = [
        (exports("F1", "C1", batch=number), {"F1": 95_00, "C1": -20_00}) for number in (1, 2)
    ]
    ledger = recovering(adopted=batches)
    for step in steps:
        ledger.take(step)
    assert {key.bursar_transaction_id: row.state for key, row in ledger.store.lines.items()} == {
        "1001": "refused",
        "1002": "refused",
        "2001": "live",
        "2002": "live",
    }
    assert now(ledger) == Now("Transferred", "active", 0, 95_00, 0, 75_00)
    sound(ledger.store)
