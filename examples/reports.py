"""The words of the report programs, as events."""

import json
import sys
from pathlib import Path

from events import Record, payment, response


def report_of(words: list[str]) -> Record:
    match words:
        case ["pay" | "write-off" as verb, institution, own_id, at, line, amount, currency]:
            kind = "payment" if verb == "pay" else "write_off"
            money = {"amount": amount, "currency": currency}
            return payment(institution, own_id, at, kind, bursar_transaction_id=line, **money)
        case ["reverse", institution, own_id, at, reversed_id]:
            return payment(institution, own_id, at, "reversal", reverses_payment_id=reversed_id)
        case ["status", institution, own_id, at, line, code]:
            return payment(
                institution, own_id, at, "status", bursar_transaction_id=line, status_code=code
            )
        case ["refuse", manifest, line, reason]:
            told = json.loads(Path(manifest).read_bytes())
            refused = [{"bursar_transaction_id": line, "reason": reason}]
            return response(told, "partial", refused_lines=refused)
        case _:
            sys.exit("pay | write-off | reverse | status | refuse: see report_aiokafka.py")
