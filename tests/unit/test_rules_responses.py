"""The bursar answers a batch: accepts it, refuses lines (rules.md, 5; contracts.md, 4)."""

from collections.abc import Sequence
from dataclasses import replace

from service.core.events import BursarPayment, ExportResponse
from service.core.ledger import BatchKey, ExportRef, LineKey, SourceKey
from service.core.words import ItemState
from tests.support.bursar import accepts, pays, refuses, reverses, tells
from tests.support.given import (
    BOTH,
    ERP,
    EXPORTED,
    HOLDS,
    LOST,
    ONLY,
    RETRIES,
    THREE,
    UNI,
    at,
    cancels,
    creates,
    desk_pays,
    exports,
    table,
)
from tests.support.in_memory import (
    Ledger,
    Movement,
    Now,
    Step,
    check_applied,
    moved,
    now,
    open_,
    outcome_of_event,
    transferred,
)
from tests.support.view_store import Store, sound

CREDIT = (creates(-20_00), exports())


BATCH = BatchKey(UNI, "BOTH", 1)


@table(
    "history state posted",
    ("5 transferred", EXPORTED, open_(95_00), ("export_rejected", 95_00, 95_00, -95_00)),
    (
        "5 what remained at the export, not what it was created with",
        (creates(95_00), desk_pays(30_00), exports()),
        open_(65_00),
        ("export_rejected", 65_00, 65_00, -65_00),
    ),
    ("5 a credit", CREDIT, open_(-20_00), ("export_rejected", -20_00, -20_00, 20_00)),
    (
        "5 a lost fine that closed on export",
        (creates(95_00, type_=LOST), exports()),
        open_(95_00),
        ("export_rejected", 95_00, 95_00, 0),
    ),
    (
        "5 its payment was reversed",
        (*EXPORTED, pays(95_00), reverses()),
        open_(95_00),
        ("export_rejected", 95_00, 95_00, -95_00),
    ),
    (
        "5 its noted payment was reversed",
        (creates(95_00, type_=LOST), exports(), pays(95_00), reverses()),
        open_(95_00),
        ("export_rejected", 95_00, 95_00, 0),
    ),
    (
        "5 a status was noted: no payment",
        (*EXPORTED, tells("invoiced")),
        open_(95_00),
        ("export_rejected", 95_00, 95_00, -95_00),
    ),
    (
        "5 an overpayment is held: nothing was paid",
        (creates(95_00), exports(terms=HOLDS), pays(95_01)),
        open_(95_00),
        ("export_rejected", 95_00, 95_00, -95_00),
    ),
)
def test_a_refusal_is_the_exact_opposite_of_its_export(
    history: Sequence[Step], state: Now, posted: Movement
) -> None:
    ledger = Ledger(*history)
    check_applied(ledger, refuses("1001"), state, [posted])
    assert ledger.line_state("1001") == "refused"


def test_a_refused_export_only_fine_is_active_again() -> None:
    ledger = Ledger(creates(95_00), exports(terms=ONLY))
    done = ledger.take(refuses(profile="ONLY"))
    assert [moved(line) for line in done.transactions] == [("export_rejected", 95_00, 95_00, 0)]
    assert now(ledger) == open_(95_00)


def test_a_refused_line_keeps_the_reason_and_holds_its_fine_back() -> None:
    ledger = Ledger(*EXPORTED)
    line = ledger.take(refuses("1001")).transactions[0]
    assert line.cause == ExportRef("BOTH", 1, "1001")
    assert (line.label, line.occurred_at) == ("Export rejected", at(25))
    assert ledger.fine().changed_at == line.fine.changed_at == at(25)
    assert ledger.store.lines[LineKey(UNI, "1001")].reason == "no such student"
    assert ledger.fine().refused_reason == "no such student"
    assert ledger.fine().bursar_transaction_id is None


def test_a_profile_that_retries_does_not_hold_a_refused_fine_back() -> None:
    ledger = Ledger(creates(95_00), exports(terms=RETRIES), refuses())
    assert ledger.fine().refused_reason is None
    assert ledger.store.lines[LineKey(UNI, "1001")].reason == "file unreadable"


def test_a_refused_fine_is_exported_anew_under_a_new_line() -> None:
    ledger = Ledger(*EXPORTED, refuses(), exports(batch=2))
    assert ledger.fine().bursar_transaction_id == "2001"
    assert ledger.fine().refused_reason is None
    assert (ledger.line_state("1001"), ledger.line_state("2001")) == ("refused", "live")
    sound(ledger.store)


def test_a_fine_refused_after_a_part_was_paid_at_the_desk_and_reexported_for_the_rest() -> None:
    ledger = Ledger(*EXPORTED, refuses(), desk_pays(30_00), exports(batch=2), pays(65_00))
    assert now(ledger) == Now("Transferred", "closed")


@table(
    "responses states lines",
    ("5 accepted", (accepts(),), ["accepted"], ["live", "live", "live"]),
    ("5 refused", (refuses(),), ["refused"], ["refused"] * 3),
    ("5 partly", (refuses("1002"),), ["partly_refused"], ["live", "refused", "live"]),
    (
        "5 every line by its name",
        (refuses("1001", "1002", "1003"),),
        ["refused"],
        ["refused"] * 3,
    ),
    (
        "5 one after the other",
        (refuses("1001"), refuses("1002", response_id="a2"), refuses(response_id="a3")),
        ["partly_refused", "partly_refused", "refused"],
        ["refused"] * 3,
    ),
    (
        "5 accepted, then a line refused",
        (accepts(), refuses("1003", response_id="a2")),
        ["accepted", "partly_refused"],
        ["live", "live", "refused"],
    ),
    (
        "5 accepting takes no refusal back",
        (refuses("1001"), accepts(response_id="a2")),
        ["partly_refused", "partly_refused"],
        ["refused", "live", "live"],
    ),
    (
        "5 accepting takes no refusal of the whole back",
        (refuses(), accepts(response_id="a2")),
        ["refused", "refused"],
        ["refused"] * 3,
    ),
)
def test_a_batch_says_what_became_of_its_lines(
    responses: Sequence[Step], states: list[str], lines: list[str]
) -> None:
    ledger = Ledger(*THREE)
    results = []
    for response in responses:
        assert outcome_of_event(ledger.take(response)) == "applied"
        results.append(ledger.store.batches[BATCH].state.value)
    assert results == states
    assert [ledger.line_state(line) for line in ("1001", "1002", "1003")] == lines
    sound(ledger.store)


def test_accepting_moves_nothing() -> None:
    ledger = Ledger(*THREE)
    before = ledger.store.copy()
    assert ledger.take(accepts()).transactions == ()
    assert ledger.store.fines == before.fines


LATER = (*EXPORTED, refuses(response_id="a0"), exports(batch=2))


@table(
    "event content",
    ("accepted", accepts(), ("accepted", 2)),
    ("refused", refuses(), ("refused", 2)),
    ("partial", refuses("1003"), ("partial", 1)),
    ("a batch that is not there", accepts(batch=2), ("accepted", None)),
    ("lines that do not hold", refuses("1001", "1003"), ("partial", 2)),
)
def test_what_a_response_said_is_kept_with_the_lines_it_is_about(
    event: ExportResponse, content: tuple[str, int | None]
) -> None:
    ledger = Ledger(*THREE, refuses("1001", response_id="a0"))
    ledger.take(event)
    kept = ledger.store.responses[event.key]
    assert (kept.outcome, kept.lines, kept.responded_at) == (*content, event.responded_at)
    assert kept.state is (ItemState.REJECTED if ledger.reasons() else ItemState.APPLIED)


def test_a_response_is_known_by_its_identity() -> None:
    ledger = Ledger(*THREE, refuses("1001"))
    assert outcome_of_event(ledger.take(refuses("1001"))) == "repeat"
    assert outcome_of_event(ledger.take(refuses("1002"))) == "rejected:response_conflict"
    ledger.take(refuses("7", response_id="a2"))
    assert outcome_of_event(ledger.take(refuses("7", response_id="a2"))) == "repeat"
    kept = ledger.store.responses[SourceKey(UNI, ERP, "a2")]
    assert (kept.state.value, kept.reason) == ("rejected", "unknown_line")


def test_the_library_may_close_a_refused_fine() -> None:
    ledger = Ledger(*EXPORTED, refuses(), cancels())
    assert now(ledger) == Now("Closed", "closed")
    assert ledger.fine().bursar_transaction_id is None


def test_a_response_to_one_profiles_batch_leaves_the_same_number_of_another_alone() -> None:
    other = replace(BOTH, profile=ONLY.profile)
    ledger = Ledger(creates(95_00), exports())
    ledger.take(creates(5_00, "F2"))
    second = exports("F2", terms=other)
    line = replace(second.fines[0], bursar_transaction_id="5001")
    ledger.take(replace(second, fines=(line,)))
    ledger.take(refuses(profile="ONLY"))
    assert (ledger.line_state("1001"), ledger.line_state("5001")) == ("live", "refused")


def parked_unswept(ledger: Ledger, *missed: BursarPayment) -> None:
    """As a rival's commit at the same instant leaves them: parked although their fine is there."""
    rival = Store()
    rival.fold(*missed)
    assert len(rival.parked) == len(missed)
    ledger.store.parked |= rival.parked
    ledger.store.payments |= rival.payments


@table(
    "missed answer state",
    ("5 a payment", (pays(95_00),), "rejected:already_paid", transferred(0)),
    ("5 a status", (tells("invoiced"),), "applied", open_(95_00)),
    (
        "5 a payment and its reversal",
        (pays(40_00), reverses()),
        "applied",
        open_(95_00),
    ),
)
def test_what_missed_its_fine_goes_before_the_refusal_of_its_line(
    missed: tuple[BursarPayment, ...], answer: str, state: Now
) -> None:
    ledger = Ledger(*EXPORTED)
    parked_unswept(ledger, *missed)
    assert outcome_of_event(ledger.take(refuses())) == answer
    assert now(ledger) == state
    assert ledger.waits() == {}
    sound(ledger.store)
