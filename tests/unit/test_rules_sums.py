"""Sums that name a patron and neither a fine nor a line, row by row (rules.md, 3b)."""

from collections.abc import Sequence
from dataclasses import replace

from service.core.ledger import PaymentRef, SourceKey
from service.core.payments import excess_credit_id
from service.core.shares import LumpRule, Share
from tests.support.bursar import pays, pays_sum, refuses
from tests.support.given import (
    BOTH,
    ERP,
    HOLDS,
    LOST,
    ONLY,
    REJECTS,
    UNI,
    creates,
    disputes,
    exports,
    table,
)
from tests.support.in_memory import (
    Ledger,
    Movement,
    Step,
    moved,
    outcome_of_event,
)
from tests.support.view_store import sound

# Two fines in one batch, and a third one in a later batch.
TWO = (creates(20_00), creates(30_00, "F2"), exports("F1", "F2"))
THREE = (*TWO, creates(10_00, "F3"), exports("F3", batch=2))
WAITS = "parked:unallocated"
HELD = "parked:overpaid_held"
MAXIMUM = replace(BOTH, overpayment_max=5_00)


def oldest_first(*steps: Step) -> Ledger:
    """A ledger of an institution that lets sums pay the oldest fines first."""
    ledger = Ledger()
    ledger.store.lump_rules[UNI] = LumpRule.OLDEST_FIRST
    for step in steps:
        ledger.take(step)
    return ledger


@table(
    "history event posted",
    (
        "3b.3 less than the oldest fine",
        THREE,
        pays_sum(15_00),
        [("F1", "payment", 15_00, 0, -15_00)],
    ),
    (
        "3b.3 several fines, the last one in part",
        THREE,
        pays_sum(25_00),
        [("F1", "payment", 20_00, 0, -20_00), ("F2", "payment", 5_00, 0, -5_00)],
    ),
    (
        "3b.3 exactly all that is outstanding",
        THREE,
        pays_sum(60_00),
        [
            ("F1", "payment", 20_00, 0, -20_00),
            ("F2", "payment", 30_00, 0, -30_00),
            ("F3", "payment", 10_00, 0, -10_00),
        ],
    ),
    (
        "3b.3 the batch that was exported first comes first, whatever the ids of the fines",
        (creates(1_00), creates(2_00, "F0"), exports("F1"), exports("F0", batch=2)),
        pays_sum(1_50),
        [("F1", "payment", 1_00, 0, -1_00), ("F0", "payment", 50, 0, -50)],
    ),
    (
        "3b.3 within a batch by the id of the line",
        (creates(1_00), creates(2_00, "F0"), exports("F1", "F0")),
        pays_sum(1_50),
        [("F1", "payment", 1_00, 0, -1_00), ("F0", "payment", 50, 0, -50)],
    ),
    (
        "3b.3 a fine that was exported anew has the place of its last export",
        (*TWO, refuses("1001"), exports("F1", batch=2)),
        pays_sum(31_00),
        [("F2", "payment", 30_00, 0, -30_00), ("F1", "payment", 1_00, 0, -1_00)],
    ),
    (
        "3b.3 what an earlier payment has left",
        (*TWO, pays(5_00, payment_id="p0")),
        pays_sum(20_00),
        [("F1", "payment", 15_00, 0, -15_00), ("F2", "payment", 5_00, 0, -5_00)],
    ),
    (
        "3b.3 no credit is set off",
        (*TWO, creates(-10_00, "C1"), exports("C1", batch=2)),
        pays_sum(50_00),
        [("F1", "payment", 20_00, 0, -20_00), ("F2", "payment", 30_00, 0, -30_00)],
    ),
    (
        "3b.3 neither open fines, nor closed ones, nor those of others",
        (
            creates(1_00, "A1"),
            creates(1_00, "A2"),
            disputes("A2"),
            creates(1_00, "A3"),
            exports("A3", terms=ONLY),
            creates(1_00, "A4", type_=LOST),
            exports("A4", batch=7),
            creates(1_00, "A5", patron="P2"),
            creates(1_00, "A6", currency="EUR"),
            exports("A5", batch=8),
            exports("A6", batch=9, currency="EUR"),
            *TWO[:2],
            exports("F1", "F2", batch=10),
        ),
        pays_sum(20_50),
        [("F1", "payment", 20_00, 0, -20_00), ("F2", "payment", 50, 0, -50)],
    ),
    (
        "3b.6 the rest is a credit of the last one",
        TWO,
        pays_sum(60_00),
        [
            ("F1", "payment", 20_00, 0, -20_00),
            ("F2", "payment", 30_00, 0, -30_00),
            (excess_credit_id(SourceKey(UNI, ERP, "p1")), "credit", -10_00, -10_00, 0),
        ],
    ),
    (
        "3b.3 exact under terms that reject an excess",
        (*TWO[:2], exports("F1", "F2", terms=REJECTS)),
        pays_sum(50_00),
        [("F1", "payment", 20_00, 0, -20_00), ("F2", "payment", 30_00, 0, -30_00)],
    ),
)
def test_what_a_sum_pays(
    history: Sequence[Step], event: Step, posted: Sequence[tuple[str, *Movement]]
) -> None:
    ledger = oldest_first(*history)
    done = ledger.take(event)
    assert outcome_of_event(done) == "applied"
    assert [(line.fine.facts.fine_id, *moved(line)) for line in done.transactions] == posted
    assert {line.comment for line in done.transactions} == {"Bursar"}
    assert {line.label for line in done.transactions} <= {"Payment received", "Credit"}
    assert ledger.waits() == {}
    sound(ledger.store)


def test_a_sum_is_remembered_with_its_parts() -> None:
    ledger = oldest_first(*TWO, pays_sum(60_00))
    kept = ledger.store.payments[SourceKey(UNI, ERP, "p1")]
    assert (kept.state.value, kept.fine_id, kept.applied, kept.excess) == (
        "applied",
        None,
        50_00,
        10_00,
    )
    lump = ledger.store.sums[kept.key]
    assert lump.parts == (Share("F1", 20_00), Share("F2", 30_00))
    assert (lump.rule, lump.waits, lump.allocations) == (LumpRule.OLDEST_FIRST, False, ())
    assert kept.credit_id is not None
    assert ledger.fine(kept.credit_id).facts.credit_of == "F2"


def test_a_sum_is_the_cause_of_each_of_its_transactions() -> None:
    ledger = oldest_first(*TWO)
    done = ledger.take(pays_sum(60_00, status_code="cleared"))
    cause = PaymentRef(ERP, "p1", None, "cleared")
    assert [line.cause for line in done.transactions] == [cause] * 3
    assert [ledger.fine(name).status_code for name in ("F1", "F2")] == ["cleared"] * 2


@table(
    "history event outcome",
    ("3b.2 no account here", (), pays_sum(1_00), WAITS),
    ("3b.2 nothing was exported", (creates(1_00),), pays_sum(1_00), WAITS),
    ("3b.2 all is paid", (*TWO, pays_sum(50_00, payment_id="p0")), pays_sum(1_00), WAITS),
    ("3b.2 outstanding in another currency alone", TWO, pays_sum(1_00, currency="EUR"), WAITS),
    ("3b.2 outstanding of another patron alone", TWO, pays_sum(1_00, "P2"), WAITS),
    (
        "3b.2 a credit alone is outstanding",
        (creates(-1_00), exports()),
        pays_sum(1_00),
        WAITS,
    ),
    (
        "3b.4 one of the fines rejects an excess",
        (*TWO[:1], exports(), creates(1_00, "F2"), exports("F2", terms=REJECTS, batch=2)),
        pays_sum(21_01),
        "rejected:overpaid",
    ),
    (
        "3b.4 rejecting is stricter than holding",
        (
            *TWO[:1],
            exports(terms=REJECTS),
            creates(1_00, "F2"),
            exports("F2", terms=HOLDS, batch=2),
        ),
        pays_sum(21_01),
        "rejected:overpaid",
    ),
    (
        "3b.5 one of the fines holds an excess",
        (*TWO[:1], exports(terms=HOLDS), creates(1_00, "F2"), exports("F2", batch=2)),
        pays_sum(21_01),
        HELD,
    ),
    (
        "3b.5 above the smallest maximum",
        (*TWO[:1], exports(terms=MAXIMUM), creates(1_00, "F2"), exports("F2", batch=2)),
        pays_sum(26_01),
        HELD,
    ),
    (
        "3b.6 as much as the smallest maximum",
        (*TWO[:1], exports(terms=MAXIMUM), creates(1_00, "F2"), exports("F2", batch=2)),
        pays_sum(26_00),
        "applied",
    ),
    ("3b.6 ten times what is outstanding of all fines", TWO, pays_sum(550_00), "applied"),
    ("3b.5 more than ten times what is outstanding of all fines", TWO, pays_sum(550_01), HELD),
    (
        "3b.6 a hundred whole units of the currency",
        (creates(1_00), exports()),
        pays_sum(101_00),
        "applied",
    ),
    (
        "3b.5 more than a hundred whole units of the currency",
        (creates(1_00), exports()),
        pays_sum(101_01),
        HELD,
    ),
)
def test_what_becomes_of_a_sum(history: Sequence[Step], event: Step, outcome: str) -> None:
    ledger = oldest_first(*history)
    before = ledger.store.copy()
    assert outcome_of_event(ledger.take(event)) == outcome
    if outcome != "applied":
        assert ledger.store.accounts == before.accounts
        assert ledger.store.fines == before.fines
    sound(ledger.store)


def test_a_sum_is_held_where_the_institution_says_nothing() -> None:
    ledger = Ledger(*TWO)
    assert outcome_of_event(ledger.take(pays_sum(10_00))) == WAITS
    ledger.take(creates(1_00, "F3"))
    ledger.take(exports("F3", batch=2))
    assert ledger.waits() == {"p1": "unallocated"}


def test_the_setting_at_its_arrival_stays_with_a_sum() -> None:
    ledger = Ledger(creates(1_00), pays_sum(1_00))
    ledger.store.lump_rules[UNI] = LumpRule.OLDEST_FIRST
    ledger.take(pays_sum(40, payment_id="p2"))
    ledger.store.lump_rules[UNI] = LumpRule.HOLD
    ledger.take(exports())
    assert ledger.waits() == {"p1": "unallocated"}
    assert ledger.fine().outstanding == 60


def test_the_settings_of_institutions_do_not_mix() -> None:
    ledger = Ledger()
    ledger.store.lump_rules["9"] = LumpRule.OLDEST_FIRST
    for step in (*TWO, pays_sum(1_00)):
        ledger.take(step)
    assert ledger.waits() == {"p1": "unallocated"}


def test_a_repeat_of_a_sum_and_a_conflict_change_nothing() -> None:
    ledger = oldest_first(*TWO, pays_sum(25_00))
    before = ledger.fine("F2")
    assert outcome_of_event(ledger.take(pays_sum(25_00))) == "repeat"
    conflict = outcome_of_event(ledger.take(pays_sum(25_00, "P2")))
    assert conflict == "rejected:payment_conflict"
    assert ledger.fine("F2") == before
