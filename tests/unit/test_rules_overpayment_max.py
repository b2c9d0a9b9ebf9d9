"""The largest excess that becomes a credit by itself (rules.md, 3, rows 12, 13 and 15)."""

from dataclasses import replace
from typing import cast

import asyncpg
import orjson
import pytest

from service.core.events import Discard, Release
from service.core.ledger import FineKey, SourceKey
from service.core.payments import excess_credit_id
from service.core.terms import Terms
from service.database.encodings import terms_id, terms_of, terms_text
from tests.support.bursar import pays, reverses, writes_off
from tests.support.given import (
    BOTH,
    ERP,
    HOLDS,
    LOST,
    LOST_TRANSFERS,
    REJECTS,
    UNI,
    creates,
    exports,
    table,
)
from tests.support.in_memory import Ledger, Step, now, outcome_of_event, transferred
from tests.support.view_store import sound

SMALL = replace(BOTH, overpayment_max=5_00)
NONE_AT_ALL = replace(BOTH, overpayment_max=0)
HELD = "parked:overpaid_held"
P1 = SourceKey(UNI, ERP, "p1")
F1 = FineKey(UNI, "F1")


def exported(amount: int, currency: str = "USD", terms: Terms = BOTH) -> tuple[Step, ...]:
    return (creates(amount, currency=currency), exports(terms=terms, currency=currency))


@table(
    "history event outcome",
    ("12 default, ten times what was outstanding", exported(95_00), pays(11 * 95_00), "applied"),
    ("12 default, a cent more", exported(95_00), pays(11 * 95_00 + 1), HELD),
    ("12 default, 100 units of a small fine", exported(1_00), pays(101_00), "applied"),
    ("12 default, a cent more than 100 units", exported(1_00), pays(101_01), HELD),
    ("12 default, 100 yen", exported(3, "JPY"), pays(103, currency="JPY"), "applied"),
    ("12 default, 101 yen", exported(3, "JPY"), pays(104, currency="JPY"), HELD),
    (
        "12 default, 100 dinars",
        exported(1, "KWD"),
        pays(100_001, currency="KWD"),
        "applied",
    ),
    ("12 default, more dinars", exported(1, "KWD"), pays(100_002, currency="KWD"), HELD),
    (
        "12 default, nothing outstanding any more",
        (*exported(95_00), pays(95_00, payment_id="p0")),
        pays(100_00),
        "applied",
    ),
    (
        "12 default, a cent more where nothing is outstanding",
        (*exported(95_00), pays(95_00, payment_id="p0")),
        pays(100_01),
        HELD,
    ),
    (
        "12 default, of what was outstanding before this payment",
        (*exported(95_00), pays(75_00, payment_id="p0")),
        pays(220_01),
        HELD,
    ),
    ("12 the profile's own", exported(95_00, terms=SMALL), pays(100_00), "applied"),
    ("12 a cent above the profile's own", exported(95_00, terms=SMALL), pays(100_01), HELD),
    ("12 none, whole payment", exported(95_00, terms=NONE_AT_ALL), pays(95_00), "applied"),
    ("12 none, a cent over", exported(95_00, terms=NONE_AT_ALL), pays(95_01), HELD),
    (
        "12 excess rejected, however large",
        exported(95_00, terms=replace(REJECTS, overpayment_max=0)),
        pays(9_999_00),
        "rejected:overpaid",
    ),
    (
        "12 excess held, however small",
        exported(95_00, terms=replace(HOLDS, overpayment_max=9_00)),
        pays(95_01),
        HELD,
    ),
    (
        "12 a lost fine that was transferred",
        (creates(95_00, type_=LOST), exports(terms=replace(LOST_TRANSFERS, overpayment_max=1))),
        pays(95_02),
        HELD,
    ),
    (
        "13 a write-off is not held",
        exported(95_00, terms=SMALL),
        writes_off(200_00),
        "rejected:exceeds_outstanding",
    ),
    (
        "15 nor is a credit's payment",
        exported(-20_00, terms=SMALL),
        pays(200_00),
        "rejected:exceeds_outstanding",
    ),
)
def test_an_excess_above_the_maximum_is_held(
    history: tuple[Step, ...], event: Step, outcome: str
) -> None:
    ledger = Ledger(*history)
    before = ledger.store.copy()
    done = ledger.take(event)
    assert outcome_of_event(done) == outcome
    if outcome != "applied":
        assert done.transactions == ()
        assert ledger.store.fines == before.fines
    sound(ledger.store)


def test_a_person_takes_a_large_excess_and_it_can_be_reversed() -> None:
    ledger = Ledger(*exported(10_00), pays(999_999_999_00))
    assert ledger.waits() == {"p1": "overpaid_held"}
    ledger.store.fold(Release(P1, False, F1, None))
    assert now(ledger) == transferred(0, active=-999_999_989_00)
    assert ledger.fine(excess_credit_id(P1)).remaining == -999_999_989_00
    ledger.take(reverses())
    assert now(ledger) == transferred(10_00)
    sound(ledger.store)


def test_a_person_discards_a_large_excess() -> None:
    ledger = Ledger(*exported(10_00), pays(500_00))
    ledger.store.fold(Discard(P1, False, F1, None))
    assert ledger.reasons() == ["discarded"]
    assert now(ledger) == transferred(10_00)


def test_a_payment_ahead_of_its_fine_is_held_in_the_commit_of_the_export() -> None:
    ledger = Ledger(pays(500_00), creates(10_00), exports())
    assert ledger.waits() == {"p1": "overpaid_held"}
    assert now(ledger) == transferred(10_00)


def test_terms_without_a_maximum_are_stored_as_earlier_releases_stored_them() -> None:
    assert "overpayment_max" not in orjson.loads(terms_text(BOTH))
    assert terms_id(BOTH) != terms_id(NONE_AT_ALL)


@pytest.mark.parametrize("terms", [BOTH, SMALL, NONE_AT_ALL])
def test_terms_are_read_as_they_were_stored(terms: Terms) -> None:
    row = cast(asyncpg.Record, {"body": terms_text(terms)})
    assert terms_of(row) == terms
