"""Answers that do not hold, and their control totals (rules.md, 5; contracts.md, 4)."""

from collections.abc import Sequence
from dataclasses import replace

from service.core.ledger import BatchKey, LineKey
from service.core.words import LineState, ResponseOutcome
from tests.support.bursar import accepts, pays, refuses, responds, reverses, writes_off
from tests.support.given import EXPORTED, LOST, THREE, UNI, creates, exports, table
from tests.support.in_memory import Ledger, Step, outcome_of_event

BATCH = BatchKey(UNI, "BOTH", 1)


PAID = (*THREE, pays(1, "F2"))


LATER = (*EXPORTED, refuses(response_id="a0"), exports(batch=2))


@table(
    "history event reason",
    ("4 no such batch", THREE, accepts(batch=2), "unknown_batch"),
    ("4 another profile's batch", THREE, refuses(profile="ONLY"), "unknown_batch"),
    (
        "4 another institution's batch",
        THREE,
        responds(ResponseOutcome.ACCEPTED, institution="99"),
        "unknown_batch",
    ),
    ("4 a line of no batch", THREE, refuses("1001", "7"), "unknown_line"),
    ("4 a line of another batch", LATER, refuses("1001", batch=2), "unknown_line"),
    ("4 refused already", (*THREE, refuses("1001", response_id="a0")), refuses("1001"), "not_live"),
    ("4 not the fine's latest", LATER, refuses("1001"), "not_live"),
    ("4 whole, none is live", (*THREE, refuses(response_id="a0")), refuses(), "not_live"),
    ("4 one line twice", THREE, refuses("1001", "1001"), "not_live"),
    ("4 a payment", PAID, refuses("1001", "1002"), "already_paid"),
    ("4 a payment, whole", PAID, refuses(), "already_paid"),
    ("4 a write-off", (*THREE, writes_off(1, "F2")), refuses("1002"), "already_paid"),
    (
        "4 a noted payment",
        (creates(95_00, type_=LOST), exports(), pays(95_00)),
        refuses(),
        "already_paid",
    ),
    (
        "4 a payment that was all excess",
        (*EXPORTED, pays(95_00), pays(1, payment_id="p2"), reverses("p1")),
        refuses(),
        "already_paid",
    ),
    (
        "4 a reversal that was refused leaves the payment",
        (*EXPORTED, pays(95_00), reverses(amount=1)),
        refuses(),
        "already_paid",
    ),
    ("4 the count", THREE, accepts(control=(2, "99.00")), "control_total_mismatch"),
    ("4 the total", THREE, accepts(control=(3, "99.01")), "control_total_mismatch"),
    ("4 the total's sign", THREE, refuses(control=(3, "-99.00")), "control_total_mismatch"),
    ("4 finer than the currency", THREE, accepts(control=(3, "99.001")), "control_total_mismatch"),
    (
        "4 line before live",
        (*THREE, refuses("1001", response_id="a0")),
        refuses("1001", "7"),
        "unknown_line",
    ),
    (
        "4 live before paid",
        (*PAID, refuses("1001", response_id="a0")),
        refuses("1001", "1002"),
        "not_live",
    ),
    ("4 paid before total", PAID, refuses("1002", control=(9, "0")), "already_paid"),
)
def test_a_response_that_does_not_hold_changes_nothing_at_all(
    history: Sequence[Step], event: Step, reason: str
) -> None:
    ledger = Ledger(*history)
    before = ledger.store.copy()
    done = ledger.take(event)
    assert outcome_of_event(done) == f"rejected:{reason}"
    assert [rejection.reason for rejection in done.rejections] == [reason]
    for table_name in ("accounts", "fines", "lines", "batches", "transactions", "payments"):
        assert getattr(ledger.store, table_name) == getattr(before, table_name)


@table(
    "history event detail",
    (
        "first unknown",
        THREE,
        refuses("1001", "7", "8"),
        "refused_lines.1.bursar_transaction_id: is",
    ),
    ("not live", LATER, refuses("1001"), "refused_lines.0.bursar_transaction_id: is not"),
    ("twice", THREE, refuses("1002", "1001", "1002"), "refused_lines.2.bursar_transaction_id: is"),
    ("paid", PAID, refuses("1001", "1002"), "refused_lines.1.bursar_transaction_id: the fine has"),
    ("paid, of a whole batch", PAID, refuses(), "bursar_transaction_id: the fine has"),
)
def test_a_response_is_told_which_of_its_lines_does_not_hold(
    history: Sequence[Step], event: Step, detail: str
) -> None:
    (rejection,) = Ledger(*history).take(event).rejections
    assert rejection.detail.startswith(detail)


@table(
    "control",
    ("4 as in the manifest", (3, "99.00")),
    ("4 without the zeros", (3, "99")),
    ("4 one zero", (3, "99.0")),
)
def test_control_totals_are_compared_as_money(control: tuple[int, str]) -> None:
    ledger = Ledger(*THREE)
    assert outcome_of_event(ledger.take(accepts(control=control))) == "applied"


def test_control_totals_count_the_whole_batch_whatever_was_refused_before() -> None:
    ledger = Ledger(*THREE, refuses("1001"))
    second = ledger.take(refuses("1002", response_id="a2", control=(3, "99.00")))
    assert outcome_of_event(second) == "applied"


def test_a_control_total_may_have_fifteen_digits_before_the_point() -> None:
    ledger = Ledger(*EXPORTED)
    batch = ledger.store.batches[BATCH]
    ledger.store.batches[BATCH] = replace(batch, count=200_000, total=999_999_999_999_999_99)
    given = accepts(control=(200_000, "999999999999999.99"))
    assert outcome_of_event(ledger.take(given)) == "applied"


def test_an_empty_batch_may_be_accepted_with_its_totals() -> None:
    ledger = Ledger()
    ledger.store.seal(BATCH, "USD")
    assert outcome_of_event(ledger.take(accepts(control=(0, "0.00")))) == "applied"
    assert outcome_of_event(ledger.take(refuses(response_id="a2"))) == "rejected:not_live"


def test_a_line_that_is_not_its_fines_latest_is_not_live_even_if_nobody_refused_it() -> None:
    # Two batches adopted after a restore may hold one fine; the table alone says live twice.
    ledger = Ledger(*LATER)
    old = LineKey(UNI, "1001")
    ledger.store.lines[old] = replace(ledger.store.lines[old], state=LineState.LIVE)
    assert outcome_of_event(ledger.take(refuses("1001"))) == "rejected:not_live"
