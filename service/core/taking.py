"""Applies adopted lines to their fines. An adopted line is the line of a batch that was published
before an older database was restored, and that the recovery has read back (rules.md, 5b).

The oldest adopted line that waits for a fine is applied to the fine (the fine "takes" the line) as
soon as the fine is Active and owes just the amount of the line. The functions change the workspace;
if no adopted line waits, they change nothing.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from . import exports, fines
from .adopted import AdoptedLine, AdoptedState
from .credits import key_of_credited
from .events import BursarPayment, DropLine, GiveLine
from .exports import closes_by_terms, refusal
from .ledger import Fine, FineKey
from .words import LineState, Status
from .workspace import Workspace

DROPPED = "dropped by a person"


class LineNotGiven(Exception):
    """Raised if an operator wants to apply an adopted export line to a fine, or to drop it, and
    that is not possible. The text of the exception says why, and quotes no value.
    """


def take_lines(workspace: Workspace, keys: Iterable[FineKey]) -> None:
    """Applies the adopted lines that wait for these fines to them, wherever a fine's status and
    remaining amount are those of the line's export.
    """
    for key in keys:
        _take_lines_of(workspace, key)


def _take_lines_of(workspace: Workspace, key: FineKey) -> None:
    while waiting := workspace.adopted.of(key):
        fine, line, newer = workspace.fines.get(key), waiting[0], waiting[1:]
        if fine is None:
            return
        if fine.bursar_transaction_id is not None:
            if not _counts_as_refused(workspace, fine, line.cutoff):
                return  # row 5b.6
        elif meets(fine, line) and not _follows_later(workspace, fine, line):
            take(workspace, fine, line, newer)
        else:
            return


def meets(fine: Fine, line: AdoptedLine) -> bool:
    """Whether a fine is Active and owes exactly the amount of the adopted line, in the same
    currency (row 5b.1).
    """
    return (
        fine.status is Status.ACTIVE
        and fine.remaining == line.amount
        and fine.facts.currency == line.currency
    )


def _follows_later(workspace: Workspace, fine: Fine, line: AdoptedLine) -> bool:
    """Whether a credit that went the way of its fine has to wait until the fine has its line.

    Its history says later that it has followed the fine, if the fine was closed before (row 5b.4).
    """
    credited = key_of_credited(fine)
    if credited is None or not line.closes or closes_by_terms(fine, line.terms):
        return False
    ahead = workspace.adopted.of(credited)
    return any(other.export_number <= line.export_number for other in ahead)


def take(workspace: Workspace, fine: Fine, line: AdoptedLine, newer: list[AdoptedLine]) -> None:
    """Exports the fine as the adopted line says. Undoes the export at once if the bursar has
    already refused the adopted line, or if `newer` lines wait for the fine, because the fine was
    exported again (rows 5b.1 to 5b.5).
    """
    outcome = exports.export(_let_go(fine), line.export, closes=line.closes)
    workspace.lines.put(line.key, line.as_line(LineState.LIVE))
    workspace.adopted.put(replace(line, state=AdoptedState.TAKEN))
    workspace.apply(outcome, None)
    workspace.debits.try_sums_of(fine.facts.account)
    _take_lines_of_credits(workspace, fine)
    taken = workspace.fines[fine.facts.key]
    if line.refused_at is not None:
        _refuse(workspace, taken, line.refused_reason, line.refused_at)  # row 5b.8
    elif newer:
        _refuse(workspace, taken, None, newer[0].cutoff)  # row 5b.5


def _take_lines_of_credits(workspace: Workspace, fine: Fine) -> None:
    for credit in workspace.credits_of(fine):
        _take_lines_of(workspace, credit.fine.facts.key)


def _let_go(fine: Fine) -> Fine:
    """The fine as if a person had released it: otherwise it would not have been exported."""
    if fine.amendment.unconfirmed:
        fine = replace(fine, amendment=replace(fine.amendment, unconfirmed=False))
    return fine if fine.facts.exportable else replace(fine, released=True)


def _counts_as_refused(workspace: Workspace, fine: Fine, before: datetime) -> bool:
    """Takes back the live line of a fine for which a newer line waits: when that one was published,
    the older one had been refused (row 5b.5). Returns False if money or credits forbid it so far.
    """
    if fine.payments_live or any(credit.keeps_line(()) for credit in workspace.credits_of(fine)):
        return False
    _refuse(workspace, fine, None, before)
    return True


def _refuse(workspace: Workspace, fine: Fine, reason: str | None, at: datetime) -> None:
    """Refuses the live line of a fine. Without a reason no answer has been read so far."""
    key = fine.line_key
    assert key is not None
    line, effect = refusal(workspace.lines[key], reason, fine, at)
    workspace.lines.put(key, line)
    workspace.post(effect, None)


def has_to_wait(workspace: Workspace, fine: Fine, event: BursarPayment) -> bool:
    """Whether a payment for a fine that is closed in the library has to be parked, because an
    adopted line waits for the fine and an operator has to decide about that line (row 5b.7).
    """
    return (
        fine.is_closed_in_library
        and event.currency in (None, fine.facts.currency)
        and bool(workspace.adopted.of(fine.facts.key))
    )


def give(workspace: Workspace, event: GiveLine) -> None:
    """Applies the oldest adopted line that waits for a fine to the fine, because an operator has
    decided so, although the fine is not as it was at the export (row 5b.11). Raises LineNotGiven.

    First adjusts the amount of the fine so that the fine owes exactly the amount of the line,
    because that is what the bursar collects.
    """
    line = workspace.adopted.get(event.line)
    waiting = [] if line is None else workspace.adopted.of(line.fine)
    if line is None or line not in waiting:
        raise LineNotGiven("does not wait any more")
    fine = workspace.fines.get(line.fine)
    if fine is None:
        raise LineNotGiven("its fine is not known: a fine-created record has to come first")
    if line != waiting[0]:
        raise LineNotGiven("an older line waits for the same fine")
    if fine.bursar_transaction_id is not None:
        raise LineNotGiven("its fine has another line that the bursar has not refused")
    if fine.facts.currency != line.currency or fine.facts.is_credit != (line.amount < 0):
        raise LineNotGiven("its fine has another currency, or only one of the two is a credit")
    for effect in fines.made_as_exported(fine, line.amount, line.cutoff):
        workspace.post(effect, None)
    take(workspace, workspace.fines[line.fine], line, waiting[1:])
    take_lines(workspace, (line.fine,))


def drop(workspace: Workspace, event: DropLine) -> None:
    """Drops an adopted line that waits, because an operator has decided so: the line counts as
    refused, and its fine does not change (row 5b.12). Raises LineNotGiven.
    """
    line = workspace.adopted.get(event.line)
    if line is None or line.state is not AdoptedState.WAITING:
        raise LineNotGiven("does not wait any more")
    refused = replace(line.as_line(LineState.REFUSED), reason=line.refused_reason or DROPPED)
    workspace.lines.put(line.key, refused)
    workspace.adopted.put(replace(line, state=AdoptedState.DROPPED))
    fine = workspace.fines.get(line.fine)
    if fine is not None:
        workspace.debits.try_sums_of(fine.facts.account)
        take_lines(workspace, (line.fine,))
        _take_lines_of_credits(workspace, fine)
