"""The terms of the profiles by which generated histories export."""

from dataclasses import replace

from service.core.words import LostRule, Overpayment, RefusedRule
from tests.support.given import BOTH, CLOSES_LOANS, CREDITS, ONLY, ONLY_CREDITS

PROFILES = (
    BOTH,
    ONLY,
    replace(BOTH, overpayment=Overpayment.REJECT, refused=RefusedRule.RETRY),
    replace(BOTH, overpayment=Overpayment.HOLD),
    replace(BOTH, lost=LostRule.TRANSFER, close_paid_lost_loan=True),
    CLOSES_LOANS,
    replace(BOTH, overpayment_max=1),
    CREDITS,
    ONLY_CREDITS,
)
