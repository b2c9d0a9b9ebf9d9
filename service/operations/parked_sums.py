"""Shows a parked payment that names only a patron (a sum without a line): which fines it could pay,
and what each decision would do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..core.changes import ChangeTracker
from ..core.debits import Debits
from ..core.ledger import AccountKey, Fine
from ..core.money import InvalidAmount, format_minor, parse_minor
from ..core.shares import LumpRule, Share
from ..core.sums import in_order, strictest_rule
from ..core.words import Overpayment, Wait
from ..database.ledger_read import LedgerReader
from ..database.lump_sums import debits_of_accounts
from ..database.session import Connection
from ..runtime.problems import OperatorError
from .overpaid import DISCARD
from .parked_records import ParkedRecord


class InvalidNames(OperatorError):
    """A person has named fines for a record that is no sum without a line, or an amount that is not
    valid in its currency.
    """


@dataclass(frozen=True, slots=True)
class ParkedSum:
    """Amounts in minor units. `debits` are the fines of the account that owe something at the
    bursar, in the order in which a sum pays them.
    """

    account: AccountKey
    amount: int
    debits: Sequence[Fine]
    because: str
    release: str
    discard: str

    @property
    def outstanding(self) -> int:
        """What the patron owes at the bursar in the currency of the payment, without credits, in
        minor units.
        """
        return sum(fine.outstanding for fine in self.debits)


async def parked_sum(
    connection: Connection, store: LedgerReader, item: ParkedRecord
) -> ParkedSum | None:
    """Returns what a parked sum without a line could pay now, and what each decision would do; None
    for any other record and for a sum on which the program fails.
    """
    account, amount = item.account, item.amount
    if account is None or amount is None or item.wait is Wait.INTERNAL_ERROR:
        return None
    exported_debits = await debits_of_accounts(connection, {account})
    fines = await store.fines_by_key(connection, exported_debits)
    known = Debits(ChangeTracker(fines), dict(exported_debits.values()))
    debits = known.outstanding(account)
    release = _release(item.wait, debits, amount, account)
    if not debits and item.wait is Wait.OVERPAID_HELD and known.latest(account) is not None:
        release = f"make a credit of {format_minor(amount, account.currency)} for the patron"
    return ParkedSum(account, amount, debits, _because(item, debits, amount), release, DISCARD)


def allocations_of(item: ParkedRecord, named: Sequence[tuple[str, str]]) -> tuple[Share, ...]:
    """Returns the fines and amounts that a person has named for a sum without a line, in minor
    units.

    Raises InvalidNames for a record that is no sum without a line, and for an amount that is not
    valid in its currency.
    """
    if not named:
        return ()
    account = item.account
    if account is None:
        raise InvalidNames("--fine: only for a sum without a line")
    try:
        return tuple(Share(fine_id, parse_minor(text, account.currency)) for fine_id, text in named)
    except InvalidAmount as error:
        raise InvalidNames(f"--fine: the amount {error}") from None


def _because(item: ParkedRecord, debits: Sequence[Fine], amount: int) -> str:
    if item.wait is Wait.OVERPAID_HELD:
        return "it is more than what was outstanding, and the terms of a fine hold such an excess"
    if item.rule is LumpRule.HOLD:
        return 'the institution holds sums without a line (lump_payments = "hold")'
    if not debits:
        return "nothing is outstanding, or the patron has no account here"
    if _leaves_no_credit(debits, amount):
        return "it is more than what is outstanding, and the terms of a fine take no such excess"
    return "it was not tried yet since something is outstanding; the sweep will do so"


def _leaves_no_credit(debits: Sequence[Fine], amount: int) -> bool:
    excess = amount - sum(fine.outstanding for fine in debits)
    return excess > 0 and strictest_rule(debits, amount) is not Overpayment.CREDIT


def _release(wait: Wait, debits: Sequence[Fine], amount: int, account: AccountKey) -> str:
    if not debits:
        return "let it wait until something is outstanding, and then pay the oldest fines first"
    if wait is Wait.UNALLOCATED and _leaves_no_credit(debits, amount):
        return "let it wait: its excess is not taken, unless --fine says which fines it pays"
    shares = in_order(debits, amount)
    texts = [
        f"pay {format_minor(part, account.currency)} of {fine.facts.fine_id}"
        for fine, part in shares
    ]
    if excess := amount - sum(part for _, part in shares):
        texts.append(f"make a credit of {format_minor(excess, account.currency)} for the patron")
    return ", ".join(texts)
