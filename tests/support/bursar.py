"""Builders for what a bursar sends: payments, reversals, status codes, answers to batches."""

from service.core.events import BursarPayment, ExportResponse
from service.core.ledger import BatchKey, SourceKey
from service.core.words import PaymentKind, ResponseOutcome
from tests.support.given import ERP, UNI, at, digest, origin


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
    patron: str | None = None,
) -> BursarPayment:
    named = () if patron is None else (patron,)
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
        patron_id=patron,
        digest=digest(
            kind,
            amount,
            fine_id,
            line,
            currency,
            reverses,
            status_code,
            comment,
            at(minute),
            *named,
        ),
        origin=origin("bursar-payment"),
    )


def pays_sum(
    amount: int,
    patron: str = "P1",
    *,
    payment_id: str = "p1",
    currency: str = "USD",
    status_code: str | None = None,
) -> BursarPayment:
    """A payment that names a patron, and neither a fine nor a line."""
    return says(
        PaymentKind.PAYMENT,
        amount,
        None,
        payment_id=payment_id,
        currency=currency,
        status_code=status_code,
        patron=patron,
    )


def pays(
    amount: int,
    fine_id: str | None = "F1",
    *,
    payment_id: str = "p1",
    line: str | None = None,
    currency: str = "USD",
    status_code: str | None = None,
    patron: str | None = None,
) -> BursarPayment:
    return says(
        PaymentKind.PAYMENT,
        amount,
        fine_id,
        payment_id=payment_id,
        line=line,
        currency=currency,
        status_code=status_code,
        patron=patron,
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
    currency: str | None = "USD",
    source: str = ERP,
    status_code: str | None = None,
    patron: str | None = None,
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
        patron=patron,
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
        control=control,
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
