"""A sum of the bursar without a line, and the fines that it pays (rules.md, 3b).

Amounts are positive and in minor units.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from .ledger import AccountKey, SourceKey


class LumpRule(StrEnum):
    """What happens with a sum that names a patron and neither a fine nor a line (rules.md, 3b)."""

    HOLD = "hold"
    OLDEST_FIRST = "oldest_first"


class SumQueue(NamedTuple):
    """The wait queue of an account: sums that wait until a fine of it is outstanding.

    It is a tuple with one element, so that it differs from every other key of a wait queue.
    """

    account: AccountKey


class Share(NamedTuple):
    """The part of a sum that a fine gets."""

    fine_id: str
    amount: int


@dataclass(frozen=True, slots=True)
class LumpSum:
    """What is kept of a sum beside its payment.

    `rule` is the setting of the institution when the sum came, or `oldest_first` if a person has
    released it since. A sum that `waits` is tried again when a debit of its account gets
    outstanding, and `tried` is the last sequence of the account when the sum was tried last.
    `allocations` are the fines that a person has named, and `parts` those that were paid, in their
    order.
    """

    key: SourceKey
    account: AccountKey
    rule: LumpRule
    tried: int = 0
    waits: bool = False
    allocations: tuple[Share, ...] = ()
    parts: tuple[Share, ...] = ()
