"""What the oracle knows of a history: fines, payments, lines, what waits, what was posted."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypedDict

from service.core.events import BursarPayment, ExportFine, FineChanged

AccountId = tuple[str, str, str]
FineId = tuple[str, str]
Identity = tuple[str, str, str]
RecordName = tuple[str, Identity]  # of a "change" or a "payment"
Named = tuple[Identity, tuple[str, str], FineId]  # original, line and fine that a record names


class ModelFine(TypedDict):
    account: AccountId
    content: bytes
    made: int
    amount: int
    latest: dict[str, datetime]
    sign: int
    type: str
    is_lost: bool
    loan: str | None
    status: str
    considered: str
    remaining: int
    outstanding: int
    line: str | None
    only_exports: bool
    overpayment: str
    overpayment_max: int | None
    live: list[Identity]
    library_payments: str
    exported: int
    credit_of: str | None
    made_by: str  # library, payment or change
    reduced: int
    followed: bool


class ModelPayment(TypedDict):
    content: bytes
    state: str
    kind: str
    fine: str | None
    line: str | None
    currency: str | None
    amount: int | None
    applied: int
    parts: list[tuple[str, int]]
    credit: str | None
    reversed: int


class ModelLine(TypedDict):
    fine: str
    batch: tuple[str, str, int]
    refused: bool


@dataclass
class ModelAdopted:
    """A line that was published before a restore and waits. `kept`: an answer has refused it.

    `patron` is None if it is not known whose fine it is.
    """

    export: ExportFine
    amount: int
    currency: str
    patron: str | None
    closes: bool
    kept: bool = False

    @property
    def fine(self) -> FineId:
        return self.export.fine.institution_id, self.export.fine.fine_id

    @property
    def line(self) -> FineId:
        return self.export.fine.institution_id, self.export.bursar_transaction_id


Posted = tuple[AccountId, str, str, int, int, int]  # account, fine, kind, amount, both changes


Waiting = tuple[FineChanged | BursarPayment, str]  # the record, and what it waits for


@dataclass
class Tables:
    """All tables; `waiting` is in the order of arrival, and `batches` in the order of sealing.

    `settings` are those of institutions for sums without a line, `sum_rules` what each sum keeps of
    them, and `owing_again` the accounts whose waiting sums are to be tried. `naming` has the fines
    that name another one in `credit_of`, by that name. `adopted` are the lines that wait after a
    restore, the oldest first, `put_off` the fines whose turn to take one has not come, and
    `presumed` those that count as refused although no answer has said so. `named` has what each
    waiting record names.
    """

    fines: dict[FineId, ModelFine] = field(default_factory=dict)
    payments: dict[Identity, ModelPayment] = field(default_factory=dict)
    changes: dict[Identity, bytes] = field(default_factory=dict)
    responses: dict[Identity, bytes] = field(default_factory=dict)
    lines: dict[tuple[str, str], ModelLine] = field(default_factory=dict)
    batches: dict[tuple[str, str, int], None] = field(default_factory=dict)
    waiting: dict[RecordName, Waiting] = field(default_factory=dict)
    named: dict[RecordName, Named] = field(default_factory=dict)
    posted: list[Posted] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    loans: set[tuple[str, str]] = field(default_factory=set)
    settings: dict[str, str] = field(default_factory=dict)
    sum_rules: dict[Identity, str] = field(default_factory=dict)
    owing_again: dict[AccountId, None] = field(default_factory=dict)
    naming: dict[FineId, list[FineId]] = field(default_factory=dict)
    adopted: list[ModelAdopted] = field(default_factory=list)
    put_off: set[FineId] = field(default_factory=set)
    presumed: set[FineId] = field(default_factory=set)

    def balances(self) -> dict[AccountId, tuple[int, int]]:
        """The active and the transferred balance of each account, as sums over its fines."""
        balances: dict[AccountId, tuple[int, int]] = {}
        for fine in self.fines.values():
            active, transferred = balances.get(fine["account"], (0, 0))
            moved = (active + fine["remaining"], transferred + fine["outstanding"])
            balances[fine["account"]] = moved
        return balances

    def exportable(self, institution: str, currency: str) -> list[str]:
        """The ids of the active fines of an institution in a currency."""
        return sorted(
            fine_id
            for (home, fine_id), fine in self.fines.items()
            if home == institution and fine["status"] == "Active"
            if fine["account"][2] == currency
        )

    def fine_of_credit(self, key: FineId) -> ModelFine | None:
        """The debit of the same account that a credit names, if there is one."""
        credit = self.fines[key]
        fine = self.fines.get((key[0], credit["credit_of"] or ""))
        if credit["sign"] > 0 or fine is None or fine["sign"] < 0:
            return None
        return fine if fine["account"] == credit["account"] else None

    def credits_of_fine(self, key: FineId) -> list[ModelFine]:
        """All credits of a debit, in whatever state they are."""
        fine = self.fines[key]
        naming = self.naming.get(key, ())
        return [self.fines[name] for name in naming if self.fine_of_credit(name) is fine]

    def open_fine(
        self,
        key: FineId,
        account: AccountId,
        amount: int,
        content: bytes,
        type_: str,
        loan: str | None,
        credit_of: str | None = None,
        made_by: str = "library",
    ) -> None:
        """A new fine or credit, with its first transaction."""
        if credit_of:
            self.naming.setdefault((key[0], credit_of), []).append(key)
        self.fines[key] = {
            "account": account,
            "content": content,
            "made": amount,
            "amount": amount,
            "latest": {},
            "sign": 1 if amount > 0 else -1,
            "type": type_,
            "is_lost": type_ in ("LOSTITEMREPLACEMENTFEE", "LOSTITEMFINE"),
            "loan": loan,
            "status": "Active",
            "considered": "active",
            "remaining": amount,
            "outstanding": 0,
            "line": None,
            "only_exports": False,
            "overpayment": "",
            "overpayment_max": None,
            "live": [],
            "library_payments": "",
            "exported": 0,
            "credit_of": credit_of,
            "made_by": made_by,
            "reduced": 0,
            "followed": False,
        }
        self.post(key, "credit" if amount < 0 else "fine", amount, amount, 0)

    def post(self, key: FineId, kind: str, amount: int, active: int, transferred: int) -> None:
        """One transaction of a fine's account."""
        account = self.fines[key]["account"]
        self.posted.append((account, key[1], kind, amount, active, transferred))
        if kind in ("export_and_paid", "reversal") and transferred > 0:
            self.owing_again[account] = None
