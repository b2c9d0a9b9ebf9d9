"""Builders for tests of the rules: a step reads as what happened. Amounts in minor units."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from service.core.books import Changes
from service.core.events import (
    BursarPayment,
    ExportFine,
    ExportResponse,
    FineChanged,
    FineCreated,
    Incoming,
)
from service.core.ledger import (
    Account,
    AccountKey,
    BatchKey,
    Fine,
    FineFacts,
    FineKey,
    LineKey,
    Origin,
    Owner,
    Patron,
    SourceKey,
    Terms,
    Transaction,
)
from service.core.words import (
    CREDIT_TYPE,
    ChangeKind,
    LostRule,
    Mode,
    Overpayment,
    PaymentKind,
    ProfileCode,
    RefusedRule,
    ResponseOutcome,
)
from tests.support.view_store import Store

UNI = "1234"
ERP = "erp"
DESK = "alma"
OVERDUE = "OVERDUEFINE"
LOST = "LOSTITEMREPLACEMENTFEE"
LOST_FINE = "LOSTITEMFINE"

BOTH = Terms(ProfileCode("BOTH"), Mode.EXPORT_IMPORT)
ONLY = Terms(ProfileCode("ONLY"), Mode.EXPORT_ONLY)
REJECTS = replace(BOTH, overpayment=Overpayment.REJECT)
HOLDS = replace(BOTH, overpayment=Overpayment.HOLD)
RETRIES = replace(BOTH, refused=RefusedRule.RETRY)
LOST_TRANSFERS = replace(BOTH, lost=LostRule.TRANSFER)
CLOSES_LOANS = replace(BOTH, close_paid_lost_loan=True)

LIBRARY = Owner("112233", "MAIN", "Main Library")
_START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def at(minute: int) -> datetime:
    return _START + timedelta(minutes=minute)


def digest(*content: object) -> bytes:
    """Same content, same digest; the envelope does not count."""
    return sha256(repr(content).encode()).digest()


def origin(topic: str, offset: int = 0) -> Origin:
    return Origin(topic, 0, offset, None, b"{}")


def creates(
    amount: int,
    fine_id: str = "F1",
    *,
    patron: str = "P1",
    type_: str | None = None,
    currency: str = "USD",
    loan_id: str | None = None,
    comment: str | None = None,
    owner: Owner | None = None,
    institution: str = UNI,
    minute: int = 0,
    seen: int | None = None,
    name: str = "Doe, Jane",
) -> FineCreated:
    """A fine, or a credit when the amount is negative."""
    kind = type_ or (CREDIT_TYPE if amount < 0 else OVERDUE)
    facts = FineFacts(
        institution_id=institution,
        fine_id=fine_id,
        patron_id=patron,
        type=kind,
        amount=amount,
        currency=currency,
        owner=owner,
        created_at=at(minute),
        comment=comment,
        loan_id=loan_id,
    )
    facts = replace(facts, digest=digest(facts))
    seen_at = at(minute if seen is None else seen)
    snapshot = Patron(institution, patron, name, "STUDENT", (("userName", "jd1"),), seen_at)
    return FineCreated(facts, snapshot, origin("fine-created"))


def changes(
    kind: ChangeKind,
    amount: int | None = None,
    fine_id: str = "F1",
    *,
    change_id: str = "c1",
    currency: str = "USD",
    reason: str | None = None,
    comment: str | None = None,
    institution: str = UNI,
    minute: int = 10,
) -> FineChanged:
    money = None if amount is None else currency
    return FineChanged(
        key=SourceKey(institution, DESK, change_id),
        fine_id=fine_id,
        kind=kind,
        amount=amount,
        currency=money,
        changed_at=at(minute),
        reason=reason,
        comment=comment,
        digest=digest(fine_id, kind, amount, money, at(minute), reason, comment),
        origin=origin("fine-changed"),
    )


def desk_pays(amount: int, fine_id: str = "F1", change_id: str = "c1") -> FineChanged:
    return changes(ChangeKind.PAID, amount, fine_id, change_id=change_id)


def waives(amount: int, fine_id: str = "F1", change_id: str = "c1") -> FineChanged:
    return changes(ChangeKind.WAIVED, amount, fine_id, change_id=change_id)


def cancels(fine_id: str = "F1", change_id: str = "c1") -> FineChanged:
    return changes(ChangeKind.CANCELLED, None, fine_id, change_id=change_id)


def disputes(fine_id: str = "F1", change_id: str = "c1") -> FineChanged:
    return changes(ChangeKind.DISPUTED, None, fine_id, change_id=change_id)


def restores(fine_id: str = "F1", change_id: str = "c1") -> FineChanged:
    return changes(ChangeKind.RESTORED, None, fine_id, change_id=change_id)


def says(
    kind: PaymentKind,
    amount: int | None,
    fine_id: str | None = "F1",
    *,
    line: str | None = None,
    payment_id: str = "p1",
    currency: str | None = "USD",
    reverses: str | None = None,
    status_code: str | None = None,
    comment: str | None = None,
    source: str = ERP,
    institution: str = UNI,
    minute: int = 30,
) -> BursarPayment:
    return BursarPayment(
        key=SourceKey(institution, source, payment_id),
        kind=kind,
        bursar_transaction_id=line,
        fine_id=fine_id,
        amount=amount,
        currency=currency,
        paid_at=at(minute),
        reverses_payment_id=reverses,
        status_code=status_code,
        comment=comment,
        digest=digest(
            kind, amount, fine_id, line, currency, reverses, status_code, comment, at(minute)
        ),
        origin=origin("bursar-payment"),
    )


def pays(
    amount: int,
    fine_id: str | None = "F1",
    *,
    payment_id: str = "p1",
    line: str | None = None,
    currency: str = "USD",
    status_code: str | None = None,
) -> BursarPayment:
    return says(
        PaymentKind.PAYMENT,
        amount,
        fine_id,
        payment_id=payment_id,
        line=line,
        currency=currency,
        status_code=status_code,
    )


def writes_off(amount: int, fine_id: str | None = "F1", payment_id: str = "p1") -> BursarPayment:
    return says(PaymentKind.WRITE_OFF, amount, fine_id, payment_id=payment_id)


def reverses(
    original: str = "p1",
    amount: int | None = None,
    *,
    payment_id: str = "r1",
    fine_id: str | None = None,
    line: str | None = None,
    currency: str = "USD",
    source: str = ERP,
    status_code: str | None = None,
) -> BursarPayment:
    return says(
        PaymentKind.REVERSAL,
        amount,
        fine_id,
        line=line,
        payment_id=payment_id,
        currency=currency,
        reverses=original,
        source=source,
        status_code=status_code,
        minute=40,
    )


def tells(
    status_code: str, fine_id: str | None = "F1", *, payment_id: str = "s1", line: str | None = None
) -> BursarPayment:
    return says(
        PaymentKind.STATUS,
        None,
        fine_id,
        line=line,
        payment_id=payment_id,
        currency=None,
        status_code=status_code,
    )


@dataclass(frozen=True, slots=True)
class Export:
    """The fines of one sealed batch: one commit of the export job."""

    batch: BatchKey
    currency: str
    fines: tuple[ExportFine, ...]


def exports(
    *fine_ids: str,
    terms: Terms = BOTH,
    batch: int = 1,
    currency: str = "USD",
    institution: str = UNI,
    minute: int = 20,
) -> Export:
    """Line ids are the batch's number and the line's place in it: 1001, 1002, 2001."""
    key = BatchKey(institution, terms.profile, batch)
    fines = tuple(
        ExportFine(FineKey(institution, fine_id), key, str(1000 * batch + n), terms, at(minute))
        for n, fine_id in enumerate(fine_ids or ("F1",), start=1)
    )
    return Export(key, currency, fines)


def responds(
    outcome: ResponseOutcome,
    *refused: str,
    batch: int = 1,
    profile: str = "BOTH",
    response_id: str = "a1",
    control: tuple[int, str] | None = None,
    reason: str | None = None,
    institution: str = UNI,
    minute: int = 25,
) -> ExportResponse:
    lines = tuple((line, "no such student") for line in refused)
    key = BatchKey(institution, profile, batch)
    return ExportResponse(
        key=SourceKey(institution, ERP, response_id),
        batch=key,
        outcome=outcome,
        reason=reason,
        refused_lines=lines,
        control_count=None if control is None else control[0],
        control_total=None if control is None else control[1],
        responded_at=at(minute),
        digest=digest(key, outcome, reason, lines, control, at(minute)),
        origin=origin("export-response"),
    )


def accepts(
    *, batch: int = 1, response_id: str = "a1", control: tuple[int, str] | None = None
) -> ExportResponse:
    return responds(ResponseOutcome.ACCEPTED, batch=batch, response_id=response_id, control=control)


def refuses(
    *lines: str,
    batch: int = 1,
    profile: str = "BOTH",
    response_id: str = "a1",
    control: tuple[int, str] | None = None,
) -> ExportResponse:
    """The named lines; all of the batch when none is named."""
    return responds(
        ResponseOutcome.PARTIAL if lines else ResponseOutcome.REFUSED,
        *lines,
        batch=batch,
        profile=profile,
        response_id=response_id,
        control=control,
        reason=None if lines else "file unreadable",
    )


Step = Incoming | Export


class Books:
    """A ledger that lives through steps, each a commit of its own."""

    def __init__(self, *steps: Step) -> None:
        self.store = Store()
        for step in steps:
            self.take(step)

    def take(self, step: Step) -> Changes:
        if not isinstance(step, Export):
            return self.store.fold(step)
        done = self.store.fold(*step.fines)
        self.store.seal(step.batch, step.currency)
        return done

    def fine(self, fine_id: str = "F1", institution: str = UNI) -> Fine:
        return self.store.fines[FineKey(institution, fine_id)]

    def account(self, patron: str = "P1", currency: str = "USD", institution: str = UNI) -> Account:
        key = AccountKey(institution, patron, currency)
        return self.store.accounts.get(key, Account(key))

    def line_state(self, line: str) -> str:
        return self.store.lines[LineKey(UNI, line)].state

    def payment_state(self, payment_id: str = "p1") -> str:
        return self.store.payments[SourceKey(UNI, ERP, payment_id)].state

    def waits(self) -> dict[str, str]:
        """What each parked record waits for, by its own id, oldest first."""
        return {item.event.key.id: item.wait.value for item in self.store.parked.values()}

    def reasons(self) -> list[str]:
        return [refused.reason.value for refused in self.store.refused]


def table(names: str, *rows: tuple[object, ...]) -> pytest.MarkDecorator:
    """One test per row; its id is the row's first cell: number and case in rules.md."""
    cases = [pytest.param(*cells, id=str(row)) for row, *cells in rows]
    return pytest.mark.parametrize(names.split(), cases)


def own_outcome(done: Changes) -> str:
    """The one outcome counted for the one event of a fold; unparked ones are counted apart."""
    own = [name for name in done.outcomes if not name.startswith("unparked:")]
    assert len(own) == 1
    assert done.outcomes[own[0]] == 1
    return own[0]


Moved = tuple[str, int, int, int]


def moved(line: Transaction) -> Moved:
    """(kind, amount, change of active, change of transferred)."""
    return (
        line.kind.value,
        line.amount,
        line.after.active - line.before.active,
        line.after.transferred - line.before.transferred,
    )


@dataclass(frozen=True, slots=True)
class Now:
    """A fine and its account after an event."""

    status: str
    considered: str
    remaining: int = 0
    outstanding: int = 0
    active: int = 0
    transferred: int = 0


def open_(remaining: int, status: str = "Active") -> Now:
    """Collected by the library: all of it on the active balance."""
    return Now(status, "active", remaining, active=remaining)


def closed(active: int = 0) -> Now:
    return Now("Closed", "closed", active=active)


def transferred(outstanding: int, *, active: int = 0) -> Now:
    """At the bursar; considered closed when nothing is outstanding there."""
    considered = "active" if outstanding else "closed"
    return Now("Transferred", considered, 0, outstanding, active, outstanding)


def now(books: Books, fine_id: str = "F1") -> Now:
    fine = books.fine(fine_id)
    account = books.account(fine.facts.patron_id, fine.facts.currency)
    return Now(
        fine.status.value,
        fine.considered.value,
        fine.remaining,
        fine.outstanding,
        account.active,
        account.transferred,
    )
