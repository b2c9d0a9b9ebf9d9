"""What a sender reads about a rejected record: the member and the rule, in stable words."""

from collections.abc import Sequence

import pytest

from service.core.outcomes import rejected
from service.core.words import Reason
from tests.support.bursar import pays, pays_sum, reverses
from tests.support.given import CREDITS, EXPORTED, FINE, adjusts, desk_pays, exports
from tests.support.in_memory import Step
from tests.unit.test_rules_sums import oldest_first

DETAILS = {
    "fine_conflict": "fine_id: is known with other content",
    "change_conflict": "change_id: is known with other content",
    "payment_conflict": "payment_id: is known with other content",
    "response_conflict": "response_id: is known with other content",
    "reference_mismatch": "bursar_transaction_id, fine_id: must name the same fine",
    "currency_mismatch": "currency: is not the fine's",
    "overtaken": "changed_at: a later change of the same sort was read before",
    "already_exported": "fine_id: the fine was exported, the bursar collects it",
    "already_closed": "fine_id: the fine is closed",
    "exceeds_remaining": "amount: is more than what remains",
    "no_change": "kind: the change would leave the fine as it is",
    "import_not_active": "fine_id: its profile only exports",
    "exceeds_outstanding": "amount: is more than what is outstanding",
    "overpaid": "amount: is more than what is outstanding and the profile takes no excess",
    "original_rejected": "reverses_payment_id: that payment was rejected",
    "not_reversible": "reverses_payment_id: is a reversal or a status",
    "already_reversed": "reverses_payment_id: nothing of that payment is left to reverse",
    "amount_mismatch": "amount: is more than what is left of that payment",
    "credit_already_exported": "reverses_payment_id: the credit of its excess is in use",
    "no_matching_payment": "amount: no payment of this amount is left to reverse",
    "unknown_batch": "batch_number: is not known for this profile",
    "unknown_line": "bursar_transaction_id: is not known here",
    "not_live": "bursar_transaction_id: is not the fine's live line",
    "already_paid": "bursar_transaction_id: the fine has payments or credits that count",
    "control_total_mismatch": "control: is not the count and total of the batch",
    "discarded": "record: an operator discarded it",
}


@pytest.mark.parametrize("reason", [Reason(name) for name in DETAILS])
def test_the_detail_of_a_rejection_names_the_member_and_the_rule(reason: Reason) -> None:
    assert rejected(reason).detail == DETAILS[reason]


@pytest.mark.parametrize(
    ("history", "event", "detail"),
    [
        (FINE, adjusts(95_00), "amount: is the fine's already"),
        (
            (*FINE, desk_pays(30_00)),
            adjusts(20_00, change_id="c2"),
            "amount: is less than what was paid and waived already",
        ),
        (
            (*FINE, exports(terms=CREDITS)),
            desk_pays(95_01),
            "amount: is more than what is outstanding at the bursar, less the fine's credits",
        ),
        (EXPORTED, pays(1_00, patron="P2"), "patron_id: is not that of the fine"),
        (
            (*FINE, exports(), pays_sum(5_00)),
            reverses(amount=1_00),
            "amount: a sum without a line can only be reversed whole",
        ),
        (
            (*FINE, exports(), pays_sum(5_00)),
            reverses(line="1001"),
            "reverses_payment_id, bursar_transaction_id: must name the same fine",
        ),
        (
            (*FINE, exports(), pays_sum(5_00)),
            reverses(fine_id="F1"),
            "reverses_payment_id, fine_id: must name the same fine",
        ),
    ],
)
def test_some_rejections_say_more_than_their_reason(
    history: Sequence[Step], event: Step, detail: str
) -> None:
    ledger = oldest_first(*history, event)
    assert [rejection.detail for rejection in ledger.store.rejections] == [detail]


def test_every_other_reason_is_of_a_record_that_cannot_be_read() -> None:
    """The reader says what is wrong with such a record."""
    others = {reason.value for reason in Reason} - DETAILS.keys()
    assert {name.partition("_")[0] for name in others} == {"invalid"}
