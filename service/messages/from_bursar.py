"""The members of each record that the bursar sends, and the event that the record means."""

from datetime import datetime
from typing import Annotated
from unicodedata import normalize

from pydantic import Field

from ..core.events import BursarPayment, ExportResponse
from ..core.ledger import BatchKey, Origin
from ..core.words import PaymentKind, ResponseOutcome
from .texts import Reading, code, digest_of
from .values import (
    COMMENT_CHARACTERS_MAX,
    REASON_CHARACTERS_MAX,
    BatchNumber,
    Count,
    Id,
    Instant,
    Institution,
    LineId,
    Money,
    Profile,
    ReasonText,
    StatusCode,
    Wire,
    above_zero,
    bursar_id,
    check_currency,
    expect,
    money,
    raise_schema,
    total,
)

WITHOUT_PATRON = {"patron_id": None}
FileDigest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class WireBursarPayment(Wire):
    """A record of bursar-payment.v1, by which the bursar reports a payment, a write-off, a reversal
    or a status.
    """

    institution_id: Institution
    source: Id
    payment_id: Id
    kind: PaymentKind
    bursar_transaction_id: LineId | None = None
    fine_id: Id | None = None
    amount: object = None
    currency: str | None = None
    paid_at: Instant
    reverses_payment_id: Id | None = None
    status_code: StatusCode | None = None
    comment: str | None = None
    import_file: FileDigest | None = None
    patron_id: Id | None = None

    def event(self, time: datetime, origin: Origin, reading: Reading) -> BursarPayment:
        """Returns the payment, write-off, reversal or status that is reported. Raises Fault."""
        self._check_members()
        amount = None
        if self.amount is not None and self.currency is not None:
            amount = money(self.amount, self.currency, above_zero)
        elif self.currency is not None:
            check_currency(self.currency)
        key = reading.source_key(self.institution_id, self.source, "payment_id", self.payment_id)
        facts = (
            self.kind,
            reading.bursar_id_or_none(self.bursar_transaction_id),
            reading.identifier_or_none("fine_id", self.fine_id),
            amount,
            self.currency,
            self.paid_at,
            reading.identifier_or_none("reverses_payment_id", self.reverses_payment_id),
            None if self.status_code is None else code("status_code", self.status_code),
            reading.text_or_none("comment", self.comment, COMMENT_CHARACTERS_MAX),
        )
        patron_id = reading.identifier_or_none("patron_id", self.patron_id)
        # Records of older releases keep their digests: those releases did not read these members,
        # and took a record that names a patron beside another reference without it.
        patron = () if patron_id is None else (("patron_id", patron_id),)
        file = () if self.import_file is None else (("import_file", self.import_file),)
        digest = digest_of("bursar-payment", *key, *facts, *file, *patron)
        earlier, is_sum = None, self._names_patron_alone()
        if self._is_line_of_its_file():
            earlier = digest_of("bursar-payment", *key, *facts)
        elif reading.differs:
            known = self if is_sum else self.model_copy(update=WITHOUT_PATRON)
            earlier = reading.earlier_digest(
                digest, lambda it: known.event(time, origin, it).digest
            )
        elif patron and not is_sum:
            earlier = digest_of("bursar-payment", *key, *facts, *file)
        return BursarPayment(
            key,
            digest,
            origin,
            *facts,
            self.import_file,
            patron_id,
            earlier_digest=earlier,
            cuts=reading.cuts,
            is_new_form=reading.is_new_form or is_sum,
        )

    def _names_patron_alone(self) -> bool:
        names_a_fine = self.bursar_transaction_id is not None or self.fine_id is not None
        return self.patron_id is not None and not names_a_fine

    def _is_line_of_its_file(self) -> bool:
        """Whether the payment_id is that of a line of the file, as our own import makes it.

        Releases up to 0.6.0 imported the same line without naming the file, and instances of them
        that run beside this one do not read the member.
        """
        return self.import_file is not None and self.payment_id.startswith(f"{self.import_file}-")

    def _check_members(self) -> None:
        """What each kind requires (contracts.md, 3)."""
        reversal, status = self.kind is PaymentKind.REVERSAL, self.kind is PaymentKind.STATUS
        if self.bursar_transaction_id is None and self.fine_id is None:
            self._check_patron()
        expect("reverses_payment_id", self.reverses_payment_id, reversal, "reversal")
        if status and self.status_code is None:
            raise_schema("status_code", "is required for status")
        if not reversal:
            expect("amount", self.amount, not status, "payment, write_off and reversal")
            expect("currency", self.currency, not status, "payment, write_off and reversal")
        if self.amount is not None and self.currency is None:
            raise_schema("currency", "is required with amount")
        original = self.reverses_payment_id
        if original is not None and normalize("NFC", original) == normalize("NFC", self.payment_id):
            raise_schema("reverses_payment_id", "must not be the payment_id itself")

    def _check_patron(self) -> None:
        """What a record that names neither a line nor a fine requires of `patron_id`."""
        if self.patron_id is None:
            if self.kind is not PaymentKind.REVERSAL:
                raise_schema(
                    "bursar_transaction_id",
                    "this, fine_id or in a payment patron_id is required, except for reversal",
                )
        elif self.kind is not PaymentKind.PAYMENT:
            raise_schema("patron_id", "only a payment may have it without another reference")


class WireRefusedLine(Wire):
    """An exported fine that the bursar does not accept, and the reason."""

    bursar_transaction_id: LineId
    reason: ReasonText

    def parts(self, index: int, reading: Reading) -> tuple[str, str]:
        """Returns the bursar transaction id of the refused fine and the reason. Raises Fault."""
        reason = reading.text("refused_lines.reason", self.reason, REASON_CHARACTERS_MAX)
        if not reason:
            raise_schema(f"refused_lines.{index}.reason", "must not be empty")
        return bursar_id(self.bursar_transaction_id), reason


class WireControl(Wire):
    """How many fines of a batch the bursar has loaded, and their sum in the batch's currency."""

    count: Count
    total: Money

    def checked(self) -> tuple[int, str]:
        """Returns the number of fines, and the sum as a text. Raises Fault."""
        return self.count, total("control.total", self.total)


class WireExportResponse(Wire):
    """A record of export-response.v1: whether the bursar accepts a batch, refuses it or refuses
    some of its fines.
    """

    institution_id: Institution
    source: Id
    response_id: Id
    profile: Profile
    batch_number: BatchNumber
    outcome: ResponseOutcome
    reason: str | None = None
    refused_lines: (
        Annotated[tuple[WireRefusedLine, ...], Field(min_length=1, max_length=100_000)] | None
    ) = None
    control: WireControl | None = None
    responded_at: Instant

    def event(self, time: datetime, origin: Origin, reading: Reading) -> ExportResponse:
        """Returns the bursar's answer to a batch. Raises Fault.

        The control total stays a text, because its number of decimals depends on the batch's
        currency, which the record does not have. For the digest of the record, 1.50 and 1.5 are the
        same total.
        """
        reason = reading.text_or_none("reason", self.reason, REASON_CHARACTERS_MAX)
        if self.outcome is ResponseOutcome.REFUSED and reason is None:
            raise_schema("reason", "is required for refused")
        is_partial = self.outcome is ResponseOutcome.PARTIAL
        expect("refused_lines", self.refused_lines, is_partial, "partial")
        refused_lines = tuple(
            line.parts(index, reading) for index, line in enumerate(self.refused_lines or ())
        )
        control = None if self.control is None else self.control.checked()
        key = reading.source_key(self.institution_id, self.source, "response_id", self.response_id)
        batch = BatchKey(self.institution_id, self.profile, self.batch_number)
        facts = (self.outcome, reason, refused_lines)
        content = (*facts, *_content(control))
        digest = digest_of("export-response", *key, *batch, *content, self.responded_at)
        earlier = reading.earlier_digest(digest, lambda it: self.event(time, origin, it).digest)
        return ExportResponse(
            key,
            digest,
            origin,
            batch,
            *facts,
            control,
            self.responded_at,
            earlier_digest=earlier,
            cuts=reading.cuts,
        )


def _content(control: tuple[int, str] | None) -> tuple[int | None, str | None]:
    if control is None:
        return None, None
    count, text = control
    return count, text.rstrip("0").rstrip(".") if "." in text else text
