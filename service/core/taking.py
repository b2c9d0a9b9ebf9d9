"""How a fine takes an adopted line: the line of its export before an older database was restored
(rules.md, 5b).

A fine takes the oldest line that waits for it as soon as it is Active and what remains is the
line's amount. Everything here changes the workspace, and it changes nothing if no line waits.
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
    """A person has given a fine a line that it cannot have. The text says why, without values."""


def take_lines(workspace: Workspace, keys: Iterable[FineKey]) -> None:
    """Lets these fines take the lines that wait for them, as far as the fines meet the lines."""
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
    """Whether a fine is as it was when the line was exported (row 5b.1)."""
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
    """Exports the fine as the line says, and refuses the line if the bursar has refused it, or if
    `newer` lines wait for the fine (rows 5b.1 to 5b.5).
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
    """Whether money for a fine that is closed in the library has to wait, because a line waits for
    the fine and a person has to decide about it (row 5b.7).
    """
    return (
        fine.is_closed_in_library
        and event.currency in (None, fine.facts.currency)
        and bool(workspace.adopted.of(fine.facts.key))
    )


def give(workspace: Workspace, event: GiveLine) -> None:
    """Gives the oldest line that waits for a fine to the fine, although they do not meet (row
    5b.11). Raises LineNotGiven.

    The amount of the fine is adjusted so that what remains is the amount of the line: that is what
    the bursar collects.
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
    """Gives up a line that waits: it counts as refused, and its fine is as if it had never had the
    line (row 5b.12). Raises LineNotGiven.
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
