"""The words of the send programs, as events: what a library and what an ERP has to say."""

import json
import sys
from pathlib import Path

from events import Record, change, fine, payment, raw_record, response

INPUTS = ("fine-created.v1", "fine-changed.v1", "bursar-payment.v1", "export-response.v1")
SENDING = """Sends one event, of a library or of an ERP.

The library (institution, its id of the fine or change, instant, ...):
    PROGRAM fine 101 F-1 2026-11-01T09:00:00Z P-17 OVERDUEFINE 25.00 USD
    PROGRAM change 101 C-1 2026-11-02T09:00:00Z F-1 paid 5.00 USD
    PROGRAM change 101 C-2 2026-11-02T09:30:00Z F-1 disputed
    PROGRAM change 101 C-3 2026-11-03T09:00:00Z F-1 adjusted 27.50 USD
    PROGRAM file fine-created.v1 payload.json

`file` sends the bytes of a file as they are, also to see how an invalid record is rejected.

The ERP (institution, its id of the payment, instant, bursarTransactionId or fine:ID, ...):
    PROGRAM pay 101 R-1 2026-11-26T10:00:00Z 10000000018 25.00 USD
    PROGRAM pay 101 R-2 2026-11-26T10:00:00Z fine:F-1 25.00 USD
    PROGRAM pay 101 R-3 2026-11-26T10:00:00Z patron:P-17 60.00 USD
    PROGRAM write-off 101 W-1 2026-11-26T10:00:00Z 10000000018 25.00 USD
    PROGRAM reverse 101 R-1-part 2026-11-27T10:00:00Z R-1 10.00 USD
    PROGRAM reverse 101 R-1-rest 2026-11-28T10:00:00Z R-1
    PROGRAM status 101 S-1 2026-11-27T10:00:00Z 10000000018 invoiced
    PROGRAM refuse inbox/manifests/NAME.json 10000000018 "unknown student"

`patron:ID` is for a sum that a patron has paid without a line: only `pay` may have it.

The same words again are the same event: nothing is counted twice.

KAFKA_BOOTSTRAP_SERVERS says where the broker is (127.0.0.1:19092), BURSAR_TOPIC_PREFIX how its
topics begin (library.).
"""
LOADING = """Loads batches: PROGRAM INBOX [NUMBER_OF_BATCHES] [--accept]

Keeps each batch in the folder INBOX when its document is what its manifest says: the XML, and the
manifest in INBOX/manifests. Prints file name, lines and total. With --accept each batch is answered
as `accepted`. Ends after so many batches, without a number never; stops with a line when a batch
must not be loaded. What it has kept it knows: start it again after whatever happened.

KAFKA_BOOTSTRAP_SERVERS says where the broker is (127.0.0.1:19092), BURSAR_TOPIC_PREFIX how its
topics begin (library.), LOADER_GROUP the consumer group: one for each inbox.
"""
LOADED = (
    "next: `bursar-bridge export verify INBOX` checks all that is there; with send_aiokafka.py, "
    "`pay` reports a payment of a line and `refuse` says which line you cannot take"
)
SENT = (
    "next: watch.py shows the new balance, or why the record was rejected; "
    "`bursar-bridge parked list` has what waits for another record"
)


def words_given(help_text: str) -> list[str]:
    """The command line. `--help` prints the text and ends the program; so does no word at all."""
    words = sys.argv[1:]
    text = help_text.replace("PROGRAM", Path(sys.argv[0]).name)
    if {"-h", "--help"} & set(words):
        print(text, end="")
        sys.exit(0)
    if not words:
        print(text, end="", file=sys.stderr)
        sys.exit(2)
    return words


def loader_words() -> tuple[str, int, bool]:
    """Inbox, number of batches (-1: without end), and whether each is accepted."""
    words = words_given(LOADING)
    accepts = "--accept" in words
    match [word for word in words if word != "--accept"]:
        case [folder]:
            return folder, -1, accepts
        case [folder, number] if number.isdecimal():
            return folder, int(number), accepts
    print("usage: INBOX [NUMBER_OF_BATCHES] [--accept]; --help says more", file=sys.stderr)
    sys.exit(2)


def tell_answered(topic: str, partition: int, offset: int) -> None:
    """Beside the list of batches, which may go to another program."""
    print(f"accepted: {topic}, partition {partition}, offset {offset}", file=sys.stderr)


def tell_sent(topic: str, partition: int, offset: int) -> None:
    """Where the record is now, and where to look for what becomes of it."""
    print(f"sent to {topic}, partition {partition}, offset {offset}")
    print(SENT)


def event_of(words: list[str]) -> Record:
    """The event that the words of the command line describe. Ends the program if they are none."""
    match words:
        case ["file", contract, path] if contract in INPUTS:
            return raw_record(contract, Path(path).name.encode(), _bytes_of(path))
        case ["fine", institution, event_id, at, patron, kind, amount, currency]:
            return fine(institution, event_id, at, patron, kind, amount, currency)
        case [
            "change",
            institution,
            event_id,
            at,
            fine_id,
            ("paid" | "waived" | "adjusted") as kind,
            amount,
            money,
        ]:
            return change(institution, event_id, at, fine_id, kind, amount=amount, currency=money)
        case ["change", institution, event_id, at, fine_id, kind]:
            return change(institution, event_id, at, fine_id, kind)
        case ["pay" | "write-off" as verb, institution, event_id, at, line, amount, currency]:
            kind = "payment" if verb == "pay" else "write_off"
            about = reference(line)
            return payment(
                institution, event_id, at, kind, **about, amount=amount, currency=currency
            )
        case ["reverse", institution, event_id, at, original]:
            return payment(institution, event_id, at, "reversal", reverses_payment_id=original)
        case ["reverse", institution, event_id, at, original, amount, currency]:
            back = {"reverses_payment_id": original, "amount": amount, "currency": currency}
            return payment(institution, event_id, at, "reversal", **back)
        case ["status", institution, event_id, at, line, code]:
            return payment(institution, event_id, at, "status", **reference(line), status_code=code)
        case ["refuse", manifest, line, reason]:
            content = json.loads(_bytes_of(manifest))
            refused_lines = [{"bursar_transaction_id": line, "reason": reason}]
            return response(content, "partial", refused_lines=refused_lines)
        case _:
            print(
                f"not understood: {' '.join(words)}; --help has what can be sent", file=sys.stderr
            )
            sys.exit(2)


def reference(line: str) -> dict[str, str]:
    """The exported line's bursarTransactionId, the library's `fine:ID`, or a `patron:ID`."""
    name, _, named = line.partition(":")
    return {f"{name}_id": named} if name in ("fine", "patron") else {"bursar_transaction_id": line}


def _bytes_of(path: str) -> bytes:
    """The content of a file. Ends the program if it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        print(f"{path}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
