"""Sums without a line: payments of the bursar that name a patron, but no fine and no export line;
and the fines that they pay (rules.md, 3b).

All amounts here are positive and in minor units.
"""

from enum import StrEnum
from typing import NamedTuple

from .frozen import dataclass
from .ledger import AccountKey, SourceKey


class LumpRule(StrEnum):
    """What happens to a payment that names only a patron: it waits for an operator, or pays the
    patron's fines in the order of their export (rules.md, 3b).
    """

    HOLD = "hold"
    OLDEST_FIRST = "oldest_first"


class SumQueue(NamedTuple):
    """The key of the wait queue of an account: in it are parked payments that name only the patron,
    and wait until a fine of the account is outstanding.

    The key is a tuple with one element, so that it cannot equal the key of another kind of wait
    queue.
    """

    account: AccountKey


class Share(NamedTuple):
    """A fine, and the part of a payment that this fine gets if the payment names only a patron."""

    fine_id: str
    amount: int


@dataclass(frozen=True, slots=True)
class LumpSum:
    """What is stored about a payment that names only a patron, beside the payment itself.

    `rule` is the institution's setting at the time when the payment arrived, or `oldest_first` if
    an operator has released it since. If `waits` is True, the payment is tried again whenever a
    fine of its account becomes outstanding; `tried` is the number of the account's latest
    transaction when it was last tried. `allocations` are the fines and amounts that an operator has
    named, and `parts` those that were paid, in the order of payment.
    """

    key: SourceKey
    account: AccountKey
    rule: LumpRule
    tried: int = 0
    waits: bool = False
    allocations: tuple[Share, ...] = ()
    parts: tuple[Share, ...] = ()
