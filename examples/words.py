"""The words of the send programs, as events: what a library and what an ERP has to say."""

import json
import sys
from pathlib import Path

from events import Record, change, fine, payment, record, response


def event_of(words: list[str]) -> Record:
    match words:
        case ["file", contract, path]:
            return record(contract, path, json.loads(Path(path).read_bytes()))
        case ["fine", institution, own_id, at, patron, kind, amount, currency]:
            return fine(institution, own_id, at, patron, kind, amount, currency)
        case [
            "change",
            institution,
            own_id,
            at,
            fine_id,
            ("paid" | "waived") as kind,
            amount,
            money,
        ]:
            return change(institution, own_id, at, fine_id, kind, amount=amount, currency=money)
        case ["change", institution, own_id, at, fine_id, kind]:
            return change(institution, own_id, at, fine_id, kind)
        case ["pay" | "write-off" as verb, institution, own_id, at, line, amount, currency]:
            kind = "payment" if verb == "pay" else "write_off"
            about = reference(line)
            return payment(institution, own_id, at, kind, **about, amount=amount, currency=currency)
        case ["reverse", institution, own_id, at, reversed_id]:
            return payment(institution, own_id, at, "reversal", reverses_payment_id=reversed_id)
        case ["status", institution, own_id, at, line, code]:
            return payment(institution, own_id, at, "status", **reference(line), status_code=code)
        case ["refuse", manifest, line, reason]:
            told = json.loads(Path(manifest).read_bytes())
            refused = [{"bursar_transaction_id": line, "reason": reason}]
            return response(told, "partial", refused_lines=refused)
        case _:
            verbs = "file | fine | change | pay | write-off | reverse | status | refuse"
            sys.exit(f"{verbs}: what follows each of them is in send_aiokafka.py")


def reference(line: str) -> dict[str, str]:
    """The exported line's bursarTransactionId, or the library's fine as `fine:ID`."""
    _, named, fine_id = line.partition("fine:")
    return {"fine_id": fine_id} if named else {"bursar_transaction_id": line}
