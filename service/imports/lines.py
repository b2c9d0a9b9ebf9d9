"""A file's lines as payments: their identity, and the records to publish."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import orjson

from ..core.events import BursarPayment
from ..core.ledger import Origin, Payment
from ..core.money import format_minor
from ..export.xml.read import PaidLine
from ..messages.decode import parse

CONTRACT = "bursar-payment.v1"
TOPIC = "import"  # of what is rejected before it is published


@dataclass(frozen=True, slots=True)
class Target:
    """Whose file it is. `sha256` is the file's, in hex; amounts are in minor units."""

    institution_id: str
    source: str
    sha256: str
    paid_at: datetime

    def payment_id(self, n: int) -> str:
        return f"{self.sha256}-{n}"

    @property
    def id_range(self) -> tuple[str, str]:
        """All payment ids of the file lie from the first up to the second ("." follows "-")."""
        return f"{self.sha256}-", f"{self.sha256}."


def payment_event(target: Target, line: PaidLine, original: Payment | None) -> BursarPayment:
    """The line as the service will read it: the same bytes through the same parser."""
    event = parse(CONTRACT, origin_of(target, line, original))
    # Our own encoding of values that were read as sound.
    assert isinstance(event, BursarPayment)
    return event


def origin_of(target: Target, line: PaidLine, original: Payment | None) -> Origin:
    """The record to publish, in binary mode."""
    payment_id = target.payment_id(line.n)
    body: dict[str, object] = {
        "institution_id": target.institution_id,
        "source": target.source,
        "payment_id": payment_id,
        "kind": "payment" if original is None else "reversal",
        "bursar_transaction_id": line.bursar_transaction_id,
        "amount": format_minor(abs(line.amount), line.currency),
        "currency": line.currency,
        "paid_at": target.paid_at,
    }
    if original is not None:
        body["reverses_payment_id"] = original.key.id
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", payment_id.encode()),
        ("ce_source", f"/import/{target.source}".encode()),
        ("ce_type", b"org.bursar-bridge.bursar-payment.v1"),
        ("ce_time", target.paid_at.isoformat().encode()),
        ("content-type", b"application/json"),
    )
    key = f"{target.institution_id}/{line.bursar_transaction_id}".encode()
    return Origin(TOPIC, file_number(target), line.n, key, orjson.dumps(body), headers)


def file_number(target: Target) -> int:
    """A file's place in the rejected table beside other files, and other institutions': 28 bits."""
    own = sha256(f"{target.institution_id}/{target.sha256}".encode())
    return int(own.hexdigest()[:7], 16)


def earlier_file_number(target: Target) -> int:
    """The same as release 0.3.0 and those before it made it: of the digest alone."""
    return int(target.sha256[:7], 16)
