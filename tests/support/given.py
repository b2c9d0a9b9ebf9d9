"""Builders for tests of the rules: a step reads as what happened. Amounts in minor units."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from service.core.events import ExportFine, FineChanged, FineCreated
from service.core.ledger import BatchKey, FineFacts, FineKey, Origin, Owner, Patron, SourceKey
from service.core.payments import excess_credit_id
from service.core.terms import Terms
from service.core.words import (
    CREDIT_TYPE,
    ChangeKind,
    LibraryPayments,
    LostRule,
    Mode,
    Overpayment,
    ProfileCode,
    RefusedRule,
)

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
CREDITS = replace(BOTH, library_payments=LibraryPayments.CREDIT)
ONLY_CREDITS = replace(ONLY, library_payments=LibraryPayments.CREDIT)
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
    credit_of: str | None = None,
    institution: str = UNI,
    minute: int = 0,
    snapshot_minute: int | None = None,
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
        credit_of=credit_of,
    )
    facts = replace(facts, digest=digest(facts))
    seen_at = at(minute if snapshot_minute is None else snapshot_minute)
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


def adjusts(
    amount: int, fine_id: str = "F1", change_id: str = "c1", *, minute: int = 10
) -> FineChanged:
    """The fine's new amount; positive, also that of a credit."""
    return changes(ChangeKind.ADJUSTED, amount, fine_id, change_id=change_id, minute=minute)


def cancels(fine_id: str = "F1", change_id: str = "c1") -> FineChanged:
    return changes(ChangeKind.CANCELLED, None, fine_id, change_id=change_id)


def disputes(fine_id: str = "F1", change_id: str = "c1", *, minute: int = 10) -> FineChanged:
    return changes(ChangeKind.DISPUTED, None, fine_id, change_id=change_id, minute=minute)


def restores(fine_id: str = "F1", change_id: str = "c1", *, minute: int = 10) -> FineChanged:
    return changes(ChangeKind.RESTORED, None, fine_id, change_id=change_id, minute=minute)


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


def table(names: str, *rows: tuple[object, ...]) -> pytest.MarkDecorator:
    """One test per row; its id is the row's first cell: number and case in rules.md."""
    cases = [pytest.param(*cells, id=str(row)) for row, *cells in rows]
    return pytest.mark.parametrize(names.split(), cases)


FINE = (creates(95_00),)
EXPORTED = (*FINE, exports())
THREE = (
    creates(95_00),
    creates(5_00, "F2"),
    creates(-1_00, "F3"),
    exports("F1", "F2", "F3"),
)
CREDIT_ID = excess_credit_id(SourceKey(UNI, ERP, "p1"))
