"""Events as CloudEvents: fines and changes of a library; payments and answers of an ERP.

Needs nothing but Python. Identities are the sender's and must be the same on every attempt:
`fine_id`; `change_id`, `payment_id` and `response_id` within the sender's `source`.
"""

import hashlib
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

LIBRARY, ERP = "LIBRARY", "ERP"  # codes of the systems
CE_SOURCE = "/examples"

Header = tuple[str, str | bytes | None]  # as confluent-kafka has it


class Record(NamedTuple):
    """`topic` without the prefix. Records with the same key keep their order within a topic."""

    topic: str
    key: bytes
    value: bytes
    headers: list[Header]


def fine(
    institution_id: str,
    fine_id: str,
    created_at: str,
    patron_id: str,
    kind: str,
    amount: str,
    currency: str,
) -> Record:
    """A fine of the institution; the patron is known to the ERP by the identifier BARCODE."""
    patron = {
        "patron_id": patron_id,
        "name": f"Example, {patron_id}",
        "user_group": "STUDENT",
        "identifiers": [{"type": "BARCODE", "value": f"00{patron_id}"}],
    }
    data = {
        "institution_id": institution_id,
        "fine_id": fine_id,
        "patron": patron,
        "type": kind,  # OVERDUEFINE, LOSTITEMREPLACEMENTFEE, ...; CREDIT with a negative amount
        "amount": amount,
        "currency": currency,
        "owner": None,  # owned by the institution, not by one of its libraries
        "created_at": created_at,
    }
    return record("fine-created.v1", fine_id, data)


def change(
    institution_id: str, change_id: str, changed_at: str, fine_id: str, kind: str, **money: str
) -> Record:
    """`kind`: paid, waived or adjusted (with amount and currency; of `adjusted` the new amount),
    cancelled, disputed or restored.
    """
    data = {
        "institution_id": institution_id,
        "source": LIBRARY,
        "change_id": change_id,
        "fine_id": fine_id,
        "kind": kind,
        "changed_at": changed_at,
        **money,
    }
    return record("fine-changed.v1", fine_id, data)


def payment(institution_id: str, payment_id: str, paid_at: str, kind: str, **fields: str) -> Record:
    """`kind`: payment, reversal, write_off or status. Of `fields`, an amount is a text: "25.00"."""
    data = {
        "institution_id": institution_id,
        "source": ERP,
        "payment_id": payment_id,
        "kind": kind,
        "paid_at": paid_at,
        **fields,
    }
    # A line's payments in their order; a reversal that overtakes its payment waits for it.
    names = ("bursar_transaction_id", "fine_id", "reverses_payment_id", "patron_id")
    about = next(fields[name] for name in names if name in fields)
    return record("bursar-payment.v1", about, data)


def response(manifest: Mapping[str, object], outcome: str, **fields: object) -> Record:
    """A batch's outcome: `accepted`, `refused` (with `reason`) or `partial` (`refused_lines`).

    `response_id` is made from all that the answer says. The same answer again has the same id and
    is a repeat; one that refuses another line, or corrects a reason, is an answer of its own.
    """
    data = {
        "institution_id": manifest["institution_id"],
        "source": ERP,
        "profile": manifest["profile"],
        "batch_number": manifest["batch_number"],
        "outcome": outcome,
        # The totals you loaded: a difference is noticed before anything is believed.
        "control": {"count": manifest["count"], "total": manifest["total"]},
        "responded_at": manifest["sealed_at"],  # the same on every attempt
        **fields,
    }
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
    batch = f"{manifest['profile']}-{manifest['batch_number']}"
    data["response_id"] = f"{batch}-{outcome}-{digest}"
    return record("export-response.v1", str(manifest["profile"]), data)


def record(contract: str, about: str, data: Mapping[str, object]) -> Record:
    """In CloudEvents' binary mode. `about`: what keeps its order with others, for the key."""
    key = f"{data['institution_id']}/{about}".encode()
    return raw_record(contract, key, json.dumps(data).encode())


def raw_record(contract: str, key: bytes, value: bytes) -> Record:
    """In binary mode, with these bytes as they are, which may be invalid."""
    attributes = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": CE_SOURCE,
        "type": f"org.bursar-bridge.{contract}",
        "time": datetime.now(UTC).isoformat(),
    }
    headers: list[Header] = [(f"ce_{name}", text.encode()) for name, text in attributes.items()]
    headers.append(("content-type", b"application/json"))
    return Record(contract, key, value, headers)
