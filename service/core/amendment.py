"""What changes in the library store on a fine apart from its balances (rules.md, 2b and 5)."""

from datetime import datetime

from .frozen import dataclass


@dataclass(frozen=True, slots=True)
class Amendment:
    """The adjusted amount of a fine, and the times of the latest adjustment and of the latest
    dispute or end of a dispute.

    `amount` is the adjusted amount in minor units, negative for a credit; None if the fine was
    never adjusted. `adjusted_at` is the latest `changed_at` of an adjustment, and `disputed_at`
    that of a dispute or the end of one. The two times are kept even if such a change had no effect,
    so that an older change of the same sort is recognised and rejected when it arrives later.
    `unconfirmed` marks a credit that is not exported until an operator releases it, because an
    imported file made it, or because the change in the library that made it may have happened
    before the fine's export.
    """

    amount: int | None = None
    adjusted_at: datetime | None = None
    disputed_at: datetime | None = None
    unconfirmed: bool = False


NOT_AMENDED = Amendment()
