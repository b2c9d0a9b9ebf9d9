"""Payments for adopted lines: export lines that a restored database has taken over from Kafka and
that still wait for their fines (rules.md, 5b). A payment for an adopted line is parked until the
fine has taken the line, which means that the fine counts as exported again.
"""

from ..core.adopted import AdoptedLine, payments_for
from ..core.events import BursarPayment
from ..core.ledger import FineKey, LineKey, Payment
from ..core.words import ItemState
from ..core.workspace import Workspace


def owed_on_line(workspace: Workspace, key: LineKey) -> int:
    """Returns how much of an adopted line that waits is left unpaid by the payments that are parked
    for its fine, in minor units; 0 if no such line waits, or if its export closes the fine.
    """
    line = workspace.adopted.get(key)
    if line is None or line not in workspace.adopted.of(line.fine) or line.closes:
        return 0
    return max(0, abs(line.amount) - _parked_money(workspace, line))


def has_effect(workspace: Workspace, payment: Payment) -> bool:
    """Whether a payment was applied or noted, or will be. A parked payment will be if an adopted
    line of its fine waits, and no reversal of the payment is parked behind it. A reversal of such a
    parked payment waits until the payment itself is decided.
    """
    if payment.state is not ItemState.PARKED or payment.fine_id is None:
        return payment.state in (ItemState.APPLIED, ItemState.NOTED)
    fine = FineKey(payment.key.institution_id, payment.fine_id)
    behind = (item.original for item in workspace.parked.now.values())
    return bool(workspace.adopted.of(fine)) and payment.key not in behind


def _parked_money(workspace: Workspace, line: AdoptedLine) -> int:
    """What payments that are parked for the fine of the line add up to, less what reversals behind
    them take back.
    """
    events = payments_for(line.fine, workspace.parked.now.values())
    return sum(_money(workspace, event) for event in events)


def _money(workspace: Workspace, event: BursarPayment) -> int:
    if event.original is None:
        return (event.amount or 0) if event.kind.settlement is not None else 0
    original = workspace.payments.get(event.original)
    whole = original.amount if original is not None else None
    return -(event.amount or whole or 0)
