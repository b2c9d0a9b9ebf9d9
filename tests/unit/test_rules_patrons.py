"""A patron whom a payment names beside a fine or a line (rules.md, 3, rows 4 and 5)."""

from tests.support.bursar import pays, reverses
from tests.support.given import creates, table
from tests.support.in_memory import Ledger, Step, outcome_of_event
from tests.unit.test_rules_sums import TWO, oldest_first


@table(
    "event outcome",
    ("5 the fine's patron", pays(1_00, patron="P1"), "applied"),
    ("5 another patron", pays(1_00, patron="P2"), "rejected:reference_mismatch"),
    (
        "5 another patron beside a line",
        pays(1_00, None, line="1001", patron="P2"),
        "rejected:reference_mismatch",
    ),
    (
        "5 the patron before the currency",
        pays(1_00, patron="P2", currency="EUR"),
        "rejected:reference_mismatch",
    ),
    ("4 the fine is not known yet", pays(1_00, "F9", patron="P2"), "parked:unknown_fine"),
)
def test_a_patron_beside_another_reference_is_the_fines(event: Step, outcome: str) -> None:
    ledger = oldest_first(*TWO)
    assert outcome_of_event(ledger.take(event)) == outcome


def test_a_patron_who_is_not_the_fines_is_noticed_when_the_fine_comes() -> None:
    ledger = Ledger(pays(1_00, patron="P2"), creates(1_00))
    assert ledger.waits() == {}
    assert ledger.reasons() == ["reference_mismatch"]


def test_a_reversal_names_the_patron_of_its_fine() -> None:
    ledger = Ledger(*TWO, pays(1_00))
    other = reverses(fine_id="F1", patron="P2")
    assert outcome_of_event(ledger.take(other)) == "rejected:reference_mismatch"
    same = reverses(fine_id="F1", patron="P1", payment_id="r2")
    assert outcome_of_event(ledger.take(same)) == "applied"
