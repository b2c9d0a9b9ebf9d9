"""The same full events for everybody: a seed and a number make the records."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple

import orjson

INSTITUTION = "972"
CURRENCY = "USD"
PROFILE = "bench"
SEED = 20240302
FINES_PER_PATRON = 5
FINE = "fine-created.v1"
PAYMENT = "bursar-payment.v1"
RESPONSE = "export-response.v1"

PROFILES = f"""\
[[institution]]
id = "{INSTITUTION}"
zone = "America/New_York"

[[profile]]
code = "{PROFILE}"
name = "Student accounts"
institution = "{INSTITUTION}"
mode = "export_import"
currency = "{CURRENCY}"
fine_types = ["OVERDUEFINE"]
match = "02"
"""

_MORE = 500_000_000  # numbers of fines that no ledger is filled with
_START = datetime(2024, 3, 2, 9, 0, tzinfo=UTC)
_FAMILIES = "García Márquez,Müller,O'Brien,Nguyễn,Smith,Kowalczyk,Johansson,Yılmaz".split(",")
_NAMES = "Ana Lucía,Jürgen,Siobhán,Minh,Pat,Agnieszka,Björn,Ayşe".split(",")
_TITLES = (
    "Gravitation and cosmology: principles and applications of the general theory of relativity",
    "The structure and interpretation of computer programs",
    "Grundzüge der theoretischen Informatik",
)


class Record(NamedTuple):
    """For an input topic; keyed by patron if nothing else is said."""

    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


class Line(NamedTuple):
    """An exported fine, as the bursar knows it; amount in minor units."""

    patron_id: str
    bursar_transaction_id: str
    amount: int


def fines(count: int, seed: int = SEED) -> Iterator[Record]:
    """Full fines: patron with identifiers, owner, item, comment; patrons in no order."""
    chance = Random(seed)
    patrons = max(1, count // FINES_PER_PATRON)
    for number in range(count):
        patron = chance.randrange(patrons)
        yield _record(FINE, f"f-{number}", f"P{patron:09d}", number, _fine(number, patron, chance))


def keyed_at_random(records: Iterable[Record], seed: int = SEED) -> Iterator[Record]:
    """The same records, so that those of a patron are spread over all partitions."""
    chance = Random(seed)
    for record in records:
        yield record._replace(key=chance.randbytes(8).hex().encode())


def more_fines(patron_ids: Sequence[str], first: int, seed: int = SEED) -> Iterator[Record]:
    """One more for each of these patrons of a ledger; `first` counts the fines that came before."""
    chance = Random(seed + first)
    for number, patron_id in enumerate(patron_ids, start=_MORE + first):
        patron = int(patron_id[1:10])  # one of a multiplied ledger has more behind it
        body = _fine(number, patron, chance) | {"patron": _patron(patron, patron_id)}
        yield _record(FINE, f"f-{number}", patron_id, number, body)


def payments(lines: Sequence[Line], seed: int = SEED) -> Iterator[Record]:
    """One for each line, every fifth a part of it; in no order."""
    chance = Random(seed)
    for number, line in enumerate(chance.sample(lines, len(lines))):
        amount = line.amount // 2 if number % 5 == 0 else line.amount
        yield _record(
            PAYMENT, f"p-{number}", line.patron_id, number, _payment(number, line, amount)
        )


def refusal() -> Record:
    """Of the whole of the first batch."""
    body = {
        "institution_id": INSTITUTION,
        "source": "SAP",
        "response_id": "R-1",
        "profile": PROFILE,
        "batch_number": 1,
        "outcome": "refused",
        "reason": "Term is closed",
        "responded_at": (_START + timedelta(days=40)).isoformat(),
    }
    return _record(RESPONSE, "r-1", PROFILE, 1, body)


def _record(contract: str, ce_id: str, patron_id: str, number: int, body: object) -> Record:
    time = (_START + timedelta(milliseconds=number)).isoformat()
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", ce_id.encode()),
        ("ce_source", b"/bench"),
        ("ce_type", f"org.bursar-bridge.{contract}".encode()),
        ("ce_time", time.encode()),
        ("content-type", b"application/json"),
    )
    return Record(f"{INSTITUTION}/{patron_id}".encode(), orjson.dumps(body), headers)


def _fine(number: int, patron: int, chance: Random) -> dict[str, object]:
    return {
        "institution_id": INSTITUTION,
        "fine_id": f"{15_000_000_000_000_000 + number}",
        "patron": _patron(patron),
        "type": "OVERDUEFINE",
        "amount": f"{chance.randrange(1, 90)}.{chance.randrange(100):02d}",
        "currency": CURRENCY,
        "owner": {
            "library_id": "5867020000231",
            "library_code": "MAIN",
            "library_name": "Main Library",
        },
        "created_at": (_START + timedelta(seconds=number)).isoformat(),
        "comment": "Returned late; the reminder of the second week was not answered",
        "loan_id": f"L{number}",
        "item": _item(number),
    }


def _patron(patron: int, patron_id: str | None = None) -> dict[str, object]:
    family, name = _FAMILIES[patron % 8], _NAMES[patron // 8 % 8]
    return {
        "patron_id": patron_id or f"P{patron:09d}",
        "name": f"{family}, {name}",
        "user_group": "UNDERGRAD",
        "identifiers": [
            {"type": "01", "value": f"patron.{patron}@example.edu"},
            {"type": "02", "value": f"A{patron:08d}"},
            {"type": "BARCODE", "value": f"2{patron:013d}"},
        ],
    }


def _item(number: int) -> dict[str, object]:
    return {
        "title": _TITLES[number % 3],
        "call_number": f"QA76.{number % 90} .C{number % 700}",
        "library": "Main Library",
        "location": "Stacks",
        "internal_location": f"{number % 9}-{number % 40}",
        "due_date": "2024-02-24T23:59:00-05:00",
        "barcode": f"39031{number:09d}",
    }


def _payment(number: int, line: Line, amount: int) -> dict[str, object]:
    return {
        "institution_id": INSTITUTION,
        "source": "SAP",
        "payment_id": f"PAY-{number:09d}",
        "kind": "payment",
        "bursar_transaction_id": line.bursar_transaction_id,
        "amount": f"{amount // 100}.{amount % 100:02d}",
        "currency": CURRENCY,
        "paid_at": (_START + timedelta(days=40, seconds=number)).isoformat(),
        "comment": "Semester invoice 2024/1",
    }
