"""Payments that do not apply move nothing and stay known (rules.md, 3, rows 2 to 13 and 15)."""

from collections.abc import Sequence

from service.core.ledger import SourceKey
from tests.support.bursar import pays, refuses, tells, writes_off
from tests.support.given import (
    ERP,
    EXPORTED,
    FINE,
    HOLDS,
    LOST,
    ONLY,
    REJECTS,
    UNI,
    cancels,
    creates,
    desk_pays,
    disputes,
    exports,
    table,
)
from tests.support.in_memory import Ledger, Step, check_not_applied

CREDIT = (creates(-20_00), exports())


LOST_CLOSED = (creates(95_00, type_=LOST), exports())


CANCELLED = (*FINE, cancels())


REFUSED = (*EXPORTED, refuses())


P0 = "p0"


TWO = (*EXPORTED, creates(5_00, "F2"))


@table(
    "history event outcome",
    ("2 repeat", (*EXPORTED, pays(40_00)), pays(40_00), "repeat"),
    ("2 repeat of a parked one", (pays(40_00),), pays(40_00), "repeat"),
    ("2 repeat of a rejected one", (pays(1, None, line="7"),), pays(1, None, line="7"), "repeat"),
    ("3 other amount", (*EXPORTED, pays(40_00)), pays(41_00), "rejected:payment_conflict"),
    ("3 other fine", (*TWO, pays(1_00)), pays(1_00, "F2"), "rejected:payment_conflict"),
    ("3 other content than a parked one", (pays(1),), pays(2), "rejected:payment_conflict"),
    (
        "3 other content than a rejected one",
        (pays(1, None, line="7"),),
        pays(1),
        "rejected:payment_conflict",
    ),
    (
        "3 a payment known, now as a write-off",
        (*EXPORTED, pays(40_00)),
        writes_off(40_00),
        "rejected:payment_conflict",
    ),
    ("4 an unknown fine id", (), pays(40_00), "parked:unknown_fine"),
    ("4 both unknown", (), pays(40_00, line="1001"), "parked:unknown_fine"),
    ("4 a status for an unknown fine id", (), tells("invoiced"), "parked:unknown_fine"),
    ("4 an unknown bursar id alone", EXPORTED, pays(1, None, line="7"), "rejected:unknown_line"),
    ("5 two known fines", TWO, pays(1, "F2", line="1001"), "rejected:reference_mismatch"),
    ("5 a fine id unknown yet", TWO, pays(1, "F9", line="1001"), "rejected:reference_mismatch"),
    (
        "5 before 6",
        TWO,
        pays(1, "F2", line="1001", currency="EUR"),
        "rejected:reference_mismatch",
    ),
    ("6 other currency", EXPORTED, pays(1, currency="EUR"), "rejected:currency_mismatch"),
    ("6 before 7", FINE, pays(1, currency="EUR"), "rejected:currency_mismatch"),
    (
        "6 before 8",
        (*FINE, exports(terms=ONLY)),
        pays(1, currency="EUR"),
        "rejected:currency_mismatch",
    ),
    ("6 before not_live", CANCELLED, pays(1, currency="EUR"), "rejected:currency_mismatch"),
    ("7 Active", FINE, pays(95_00), "parked:not_exported"),
    ("7 Active: a write-off", FINE, writes_off(95_00), "parked:not_exported"),
    ("7 Active: a status", FINE, tells("invoiced"), "parked:not_exported"),
    ("7 In dispute", (*FINE, disputes()), pays(95_00), "parked:not_exported"),
    ("7 its line was refused", REFUSED, pays(95_00), "parked:not_exported"),
    (
        "7 its line was refused, by the old bursar id",
        REFUSED,
        pays(95_00, None, line="1001"),
        "parked:not_exported",
    ),
    (
        "8 export-only",
        (*FINE, exports(terms=ONLY)),
        pays(95_00),
        "rejected:import_not_active",
    ),
    (
        "8 export-only, lost",
        (creates(95_00, type_=LOST), exports(terms=ONLY)),
        pays(95_00),
        "rejected:import_not_active",
    ),
    (
        "8 export-only, a status: before 9",
        (*FINE, exports(terms=ONLY)),
        tells("invoiced"),
        "rejected:import_not_active",
    ),
    (
        "8 export-only, a write-off beyond it: before 13",
        (*FINE, exports(terms=ONLY)),
        writes_off(99_00),
        "rejected:import_not_active",
    ),
    ("8 closed in the library", CANCELLED, pays(95_00), "rejected:not_live"),
    ("8 closed in the library, a status", CANCELLED, tells("paid"), "rejected:not_live"),
    (
        "8 refused and then closed in the library",
        (*REFUSED, desk_pays(95_00)),
        pays(95_00),
        "rejected:not_live",
    ),
    (
        "12 one cent over, excess rejected",
        (*FINE, exports(terms=REJECTS)),
        pays(95_01),
        "rejected:overpaid",
    ),
    (
        "12 nothing outstanding, excess rejected",
        (*FINE, exports(terms=REJECTS), pays(95_00, payment_id=P0)),
        pays(1),
        "rejected:overpaid",
    ),
    (
        "12 one cent over, excess held",
        (*FINE, exports(terms=HOLDS)),
        pays(95_01),
        "parked:overpaid_held",
    ),
    ("13 one cent over", EXPORTED, writes_off(95_01), "rejected:exceeds_outstanding"),
    (
        "13 one cent over, excess held",
        (*FINE, exports(terms=HOLDS)),
        writes_off(95_01),
        "rejected:exceeds_outstanding",
    ),
    (
        "13 one cent over, excess rejected",
        (*FINE, exports(terms=REJECTS)),
        writes_off(95_01),
        "rejected:exceeds_outstanding",
    ),
    (
        "13 nothing outstanding",
        (*EXPORTED, pays(95_00, payment_id=P0)),
        writes_off(1),
        "rejected:exceeds_outstanding",
    ),
    ("15 more than the credit", CREDIT, pays(20_01), "rejected:exceeds_outstanding"),
    (
        "15 more than the credit, excess held",
        (creates(-20_00), exports(terms=HOLDS)),
        pays(20_01),
        "rejected:exceeds_outstanding",
    ),
    (
        "15 more than the credit, excess rejected",
        (creates(-20_00), exports(terms=REJECTS)),
        pays(20_01),
        "rejected:exceeds_outstanding",
    ),
    (
        "15 an export-only credit",
        (creates(-20_00), exports(terms=ONLY)),
        pays(20_00),
        "rejected:import_not_active",
    ),
)
def test_a_payment_that_does_not_apply_moves_nothing(
    history: Sequence[Step], event: Step, outcome: str
) -> None:
    check_not_applied(Ledger(*history), event, outcome)


def test_a_rejected_record_is_kept_with_its_bytes_and_names_no_value() -> None:
    ledger = Ledger(*EXPORTED)
    event = pays(1, currency="EUR")
    rejections = ledger.take(event).rejections
    assert [(item.reason.value, item.origin, item.institution_id) for item in rejections] == [
        ("currency_mismatch", event.origin, UNI)
    ]
    assert rejections[0].detail == "currency: is not the fine's"


def test_a_noted_and_a_rejected_payment_are_remembered_as_such() -> None:
    ledger = Ledger(*LOST_CLOSED, pays(95_00), pays(1, currency="EUR", payment_id="p2"))
    noted = ledger.store.payments[SourceKey(UNI, ERP, "p1")]
    assert (noted.state.value, noted.applied, noted.excess) == ("noted", 0, 0)
    rejected = ledger.store.payments[SourceKey(UNI, ERP, "p2")]
    assert (rejected.state.value, rejected.reason) == ("rejected", "currency_mismatch")
