"""Who owes what: two institutions, one for each way a bursar is connected, and their patrons."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

PROFILES = """\
# North's bursar collects by himself: fines leave the library for good.
[[institution]]
id = "101"
zone = "America/New_York"
name = "North College"

[[profile]]
code = "NORTH"
name = "North College, export only"
institution = "101"
mode = "export_only"
currency = "USD"
fine_types = ["OVERDUEFINE", "LOSTITEMREPLACEMENTFEE"]
match = "BARCODE"
close_paid_lost_loan = true

[profile.credits]
included = true

# South's bursar reports what was paid: fines are transferred, then settled.
[[institution]]
id = "102"
zone = "Europe/Vienna"
name = "South College"
lump_payments = "oldest_first"  # a sum that names a patron alone pays the oldest export first

[[profile]]
code = "SOUTH"
name = "South College, export and import"
institution = "102"
mode = "export_import"
currency = "EUR"
fine_types = ["OVERDUEFINE", "LOSTITEMREPLACEMENTFEE"]
match = "BARCODE"
close_paid_lost_loan = true
overpayment = "credit"

[profile.credits]
included = true
"""


@dataclass(frozen=True)
class College:
    """An institution with its export profile and currency; `imports`: its ERP reports payments."""

    institution_id: str
    profile: str
    currency: str
    imports: bool


@dataclass(frozen=True)
class Patron:
    """A patron of an institution, who owes the fines."""

    college: College
    patron_id: str
    name: str


@dataclass(frozen=True)
class Fine:
    """`amount` as it is on the wire: text, negative for a credit."""

    patron: Patron
    fine_id: str
    type: str
    amount: str
    title: str | None = None
    loan_id: str | None = None
    credit_of: str | None = None

    @property
    def value(self) -> Decimal:
        """The amount as a number, negative for a credit."""
        return Decimal(self.amount)

    @property
    def is_lost(self) -> bool:
        """Whether the fine is for a lost item."""
        return self.type == "LOSTITEMREPLACEMENTFEE"


NORTH = College("101", "NORTH", "USD", imports=False)
SOUTH = College("102", "SOUTH", "EUR", imports=True)

ANNA = Patron(NORTH, "N-1", "Ng & Daughter <Law>, Anna")
XIAOMING = Patron(NORTH, "N-2", "王, 小明")
FATIMA = Patron(SOUTH, "S-1", "الفهري, فاطمة")
JOERG = Patron(SOUTH, "S-2", "Müller, Jörg")
ADA = Patron(SOUTH, "S-3", "Okafor, Ada")
KARLA = Patron(SOUTH, "S-4", "Weiß, Karla")
PATRONS = (ANNA, XIAOMING, FATIMA, JOERG, ADA, KARLA)

FINES = (
    Fine(ANNA, "F-1001", "OVERDUEFINE", "12.50", title="Law & Order <2nd edition>"),
    Fine(ANNA, "F-1002", "CREDIT", "-2.50", credit_of="F-1001"),
    Fine(XIAOMING, "F-1003", "LOSTITEMREPLACEMENTFEE", "85", title="紅樓夢", loan_id="L-31"),
    Fine(FATIMA, "F-2001", "OVERDUEFINE", "40.00", title="المقدمة"),
    Fine(FATIMA, "F-2002", "CREDIT", "-4.75", credit_of="F-2001"),
    Fine(JOERG, "F-2003", "OVERDUEFINE", "30.00"),
    Fine(JOERG, "F-2004", "LOSTITEMREPLACEMENTFEE", "120.00", title="Faust", loan_id="L-32"),
)
LATE_FINE = Fine(ADA, "F-2005", "OVERDUEFINE", "18.20", title="Things Fall Apart")
# The title as a catalogue has it: marks for sorting, a form feed, a no-break space, a control that
# turns the writing. What is printed of it is the cleaned text.
MARKED_FINE = Fine(
    KARLA,
    "F-2006",
    "OVERDUEFINE",
    "5.00",
    title="\x98Die \x9cVerwandlung\f / Franz\u00a0Kafka\u200e ",
)
MARKED_FINE_TITLE = "Die Verwandlung / Franz Kafka"
MARKED_FINE_BILLED = Decimal("7.50")
LOANS = frozenset({"L-31", "L-32"})


def fine_created(fine: Fine) -> dict[str, object]:
    """The event's data, as a library system says it."""
    created_at = datetime.now(UTC) - timedelta(days=3)
    event: dict[str, object] = {
        "institution_id": fine.patron.college.institution_id,
        "fine_id": fine.fine_id,
        "patron": {
            "patron_id": fine.patron.patron_id,
            "name": fine.patron.name,
            "user_group": "STUDENT",
            "identifiers": [{"type": "BARCODE", "value": f"29000{fine.patron.patron_id}"}],
        },
        "type": fine.type,
        "amount": fine.amount,
        "currency": fine.patron.college.currency,
        "owner": None,
        "created_at": created_at.isoformat(),
    }
    if fine.title is not None:
        due = (created_at - timedelta(days=30)).isoformat()
        event["item"] = {"title": fine.title, "library": "Main & Annex", "due_date": due}
    if fine.loan_id is not None:
        event["loan_id"] = fine.loan_id
    if fine.credit_of is not None:
        event["credit_of"] = fine.credit_of
    return event


def fine_adjusted(fine: Fine, amount: str) -> dict[str, object]:
    """The event's data: the fine's new amount, as a library system says it."""
    return {
        "institution_id": fine.patron.college.institution_id,
        "source": "LIBRARY",
        "change_id": f"{fine.fine_id}/adjusted",
        "fine_id": fine.fine_id,
        "kind": "adjusted",
        "amount": amount,
        "currency": fine.patron.college.currency,
        "changed_at": datetime.now(UTC).isoformat(),
    }


def payment(
    college: College,
    payment_id: str,
    amount: str,
    *,
    bursar_transaction_id: str | None = None,
    fine_id: str | None = None,
    patron_id: str | None = None,
) -> dict[str, object]:
    """The event's data, as an ERP says it: by its reference, by the library's, or by the patron."""
    event: dict[str, object] = {
        "institution_id": college.institution_id,
        "source": "ERP",
        "payment_id": payment_id,
        "kind": "payment",
        "amount": amount,
        "currency": college.currency,
        "paid_at": "2026-03-02T10:15:00+01:00",
    }
    if bursar_transaction_id is not None:
        event["bursar_transaction_id"] = bursar_transaction_id
    if fine_id is not None:
        event["fine_id"] = fine_id
    if patron_id is not None:
        event["patron_id"] = patron_id
    return event
