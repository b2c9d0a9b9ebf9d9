"""What a sender reads about a rejected record: the member and the rule, in stable words."""

import pytest

from service.core.outcomes import rejected
from service.core.words import Reason

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


def test_every_other_reason_is_of_a_record_that_cannot_be_read() -> None:
    """The reader says what is wrong with such a record."""
    others = {reason.value for reason in Reason} - DETAILS.keys()
    assert {name.partition("_")[0] for name in others} == {"invalid"}
