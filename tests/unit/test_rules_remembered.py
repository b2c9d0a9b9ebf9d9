"""What stays known of a payment under its identity (rules.md, 3, rows 4 to 6, 9, 10, 12 and 14)."""

from service.core.ledger import SourceKey
from tests.support.bursar import pays, reverses, tells
from tests.support.given import CREDIT_ID, ERP, EXPORTED, HOLDS, LOST, UNI, creates, exports, table
from tests.support.in_memory import Ledger, Step


@table(
    "history payment_id row",
    ("10 partial", (*EXPORTED, pays(40_00)), "p1", ("applied", "F1", 40_00, 0, None, None)),
    ("12 excess", (*EXPORTED, pays(96_00)), "p1", ("applied", "F1", 95_00, 1_00, CREDIT_ID, None)),
    (
        "12 held",
        (creates(95_00), exports(terms=HOLDS), pays(96_00)),
        "p1",
        ("parked", "F1", 0, 0, None, None),
    ),
    ("9 a status", (*EXPORTED, tells("storno")), "s1", ("noted", "F1", 0, 0, None, None)),
    (
        "9 lost: noted",
        (creates(95_00, type_=LOST), exports(), pays(95_00)),
        "p1",
        ("noted", "F1", 0, 0, None, None),
    ),
    (
        "14 reversed",
        (*EXPORTED, pays(96_00), reverses()),
        "p1",
        ("applied", "F1", 95_00, 1_00, CREDIT_ID, "r1"),
    ),
    (
        "14 the reversal, with what it took back",
        (*EXPORTED, pays(96_00), reverses()),
        "r1",
        ("applied", "F1", 95_00, 0, None, None),
    ),
    ("4 no line", (pays(1_00, None, line="77"),), "p1", ("rejected", None, 0, 0, None, None)),
    ("4 no fine", (pays(1_00),), "p1", ("parked", "F1", 0, 0, None, None)),
    (
        "5 another fine's line: the named fine",
        (*EXPORTED, pays(1_00, "F2", line="1001")),
        "p1",
        ("rejected", "F2", 0, 0, None, None),
    ),
    (
        "6 by line alone: the line's fine",
        (*EXPORTED, pays(1_00, None, line="1001", currency="EUR")),
        "p1",
        ("rejected", "F1", 0, 0, None, None),
    ),
)
def test_a_payment_is_remembered(
    history: tuple[Step, ...], payment_id: str, row: tuple[object, ...]
) -> None:
    payment = Ledger(*history).store.payments[SourceKey(UNI, ERP, payment_id)]
    assert (
        payment.state.value,
        payment.fine_id,
        payment.applied,
        payment.excess,
        payment.credit_id,
        payment.reversed_by,
    ) == row


@table(
    "event reason",
    ("3.4 naming the fine that its original named", reverses(fine_id="F2"), "original_rejected"),
    ("3.2 naming the fine of its original's line", reverses(fine_id="F1"), "reference_mismatch"),
)
def test_a_payment_with_two_references_was_meant_for_the_fine_it_names(
    event: Step, reason: str
) -> None:
    mismatch = pays(1_00, "F2", line="1001")
    ledger = Ledger(*EXPORTED, creates(5_00, "F2"), mismatch, event)
    assert ledger.reasons() == ["reference_mismatch", reason]
