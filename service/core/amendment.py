"""What is kept of a fine beside its balances (rules.md, 2b and 5)."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Amendment:
    """The amount of a fine as adjusted, and the latest instants of two sorts of changes.

    `amount` is signed as the fine's, in minor units; None if the fine was never adjusted. The
    instants are the latest `changed_at` of an adjustment, and of a dispute or its end. They are
    kept even where such a change had no effect, so that an older one that comes later is known to
    be overtaken. `unconfirmed` says that an imported file has made the credit, and that no person
    has released it yet.
    """

    amount: int | None = None
    adjusted_at: datetime | None = None
    disputed_at: datetime | None = None
    unconfirmed: bool = False


NOT_AMENDED = Amendment()
