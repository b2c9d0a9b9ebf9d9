"""Events of an ERP as CloudEvents: payments, reversals, statuses, and answers to a batch.

Needs nothing but Python. Two identities are yours and must be the same on every attempt:
`payment_id` of a payment, `response_id` of an answer, both within your `source`.
"""

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

SOURCE = "ERP"  # the code of the paying system
CE_SOURCE = "/erp/accounts-receivable"

Header = tuple[str, str | bytes | None]  # as confluent-kafka has it
Record = tuple[str, bytes, list[Header]]


def payment(institution_id: str, payment_id: str, paid_at: str, kind: str, **fields: str) -> Record:
    """`kind`: payment, reversal, write_off or status. Of `fields`, an amount is a text: "25.00"."""
    data = {
        "institution_id": institution_id,
        "source": SOURCE,
        "payment_id": payment_id,
        "kind": kind,
        "paid_at": paid_at,
        **fields,
    }
    return _record("bursar-payment.v1", data)


def response(manifest: Mapping[str, object], outcome: str, **fields: object) -> Record:
    """A batch's outcome: `accepted`, `refused` (with `reason`) or `partial` (`refused_lines`)."""
    data = {
        "institution_id": manifest["institution_id"],
        "source": SOURCE,
        "response_id": f"{manifest['profile']}-{manifest['batch_number']}-{outcome}",
        "profile": manifest["profile"],
        "batch_number": manifest["batch_number"],
        "outcome": outcome,
        # The totals you loaded: a difference is noticed before anything is believed.
        "control": {"count": manifest["count"], "total": manifest["total"]},
        "responded_at": manifest["sealed_at"],  # the same on every attempt
        **fields,
    }
    return _record("export-response.v1", data)


def _record(contract: str, data: Mapping[str, object]) -> Record:
    """Topic after the prefix, value and headers, in CloudEvents' binary mode."""
    attributes = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": CE_SOURCE,
        "type": f"org.bursar-bridge.{contract}",
        "time": datetime.now(UTC).isoformat(),
    }
    headers: list[Header] = [(f"ce_{name}", text.encode()) for name, text in attributes.items()]
    headers.append(("content-type", b"application/json"))
    return contract, json.dumps(data).encode(), headers
