"""Lines that were published before a restore and wait for their fines, as rules.md, 5b, has it.

After every record all lines that wait are looked at, the oldest first, until none is taken any
more. That the service looks at the fines of the record alone is its own business. But a fine that
was known before the lines were adopted takes its line before the first record about it is decided,
or when the end of the recovery looks at it: until then it is put off.
"""

from service.core.events import BursarPayment, ExportResponse, FineChanged
from tests.oracle import exporting
from tests.oracle.tables import AccountId, FineId, ModelAdopted, Tables


def adopt(tables: Tables, line: ModelAdopted) -> None:
    """A line of a batch that these tables do not know."""
    home, profile, number = line.export.batch
    tables.batches[home, profile, number] = None
    batch = (home, profile, number)
    tables.lines[line.line] = {"fine": line.fine[1], "batch": batch, "refused": False}
    tables.adopted.append(line)


def settle(tables: Tables, key: FineId | None = None) -> None:
    """Lets fines, or the only fine that is named, take lines until none meets its fine any more."""
    while any(
        _moves(tables, line)
        for line in list(tables.adopted)
        if key in (None, line.fine) and line.fine not in tables.put_off
    ):
        pass


def waiting_of(tables: Tables, key: FineId) -> list[ModelAdopted]:
    return [line for line in tables.adopted if line.fine == key]


def put_off_of(tables: Tables, event: FineChanged | BursarPayment | ExportResponse) -> list[FineId]:
    """The fines that a record is about and that were put off; none if the answer is a repeat."""
    home = event.key.institution_id
    if isinstance(event, ExportResponse):
        is_new = event.key not in tables.responses
        rows = [row for (h, _), row in tables.lines.items() if h == home and is_new]
        named = [row["fine"] for row in rows if row["batch"] == event.batch]
    elif isinstance(event, BursarPayment):
        original = tables.payments.get((home, event.key.source, event.reverses_payment_id or ""))
        meant = _fine_of(tables, event) or (home, (original and original["fine"]) or "")
        named = [meant[1]]
    else:
        named = [event.fine_id]
    return [(home, fine_id) for fine_id in named if (home, fine_id) in tables.put_off]


def awaits(tables: Tables, account: AccountId) -> bool:
    """Whether a debit's line of the account waits, so that its sums wait, too."""
    debits = [line for line in tables.adopted if line.amount > 0]
    return any(_account_of(tables, line) == account for line in debits)


def _account_of(tables: Tables, line: ModelAdopted) -> AccountId | None:
    if line.fine in tables.fines:
        return tables.fines[line.fine]["account"]
    return None if line.patron is None else (line.fine[0], line.patron, line.currency)


def _moves(tables: Tables, line: ModelAdopted) -> bool:
    fine = tables.fines.get(line.fine)
    if fine is None or waiting_of(tables, line.fine)[:1] != [line]:
        return False
    if fine["line"]:
        if fine["live"] or exporting.has_credit_there(tables, line.fine, []):
            return False
        tables.presumed.add((line.fine[0], fine["line"]))
        exporting.take_back(tables, fine["line"], line.fine)
        return True
    is_met = fine["status"] == "Active" and fine["remaining"] == line.amount
    if not is_met or fine["account"][2] != line.currency or _follows_later(tables, line):
        return False
    _take(tables, line)
    return True


def _follows_later(tables: Tables, line: ModelAdopted) -> bool:
    """A credit that closed only because its fine did waits until its fine has the line."""
    credit = tables.fines[line.fine]
    if credit["sign"] > 0 or not line.closes or exporting.closes(credit, line.export):
        return False
    order = list(tables.batches)
    return any(
        order.index(other.export.batch) <= order.index(line.export.batch)
        for other in waiting_of(tables, (line.fine[0], credit["credit_of"] or ""))
    )


def _take(tables: Tables, line: ModelAdopted) -> None:
    newer = waiting_of(tables, line.fine)[1:]
    tables.adopted.remove(line)
    exporting.export(tables, line.export, line.closes)
    fine = tables.fines[line.fine]
    tables.owing_again[fine["account"]] = None
    for key in list(tables.fines):
        if tables.fine_of_credit(key) is fine:
            tables.put_off.discard(key)
            while any(_moves(tables, credit) for credit in waiting_of(tables, key)):
                pass
    if line.kept or newer:
        exporting.take_back(tables, line.line[1], line.fine)
        if not line.kept:
            tables.presumed.add(line.line)


def money_waits(tables: Tables, line: ModelAdopted) -> bool:
    """Whether a payment waits for the fine, and no reversal of all of it behind it."""
    if waiting_of(tables, line.fine)[-1] is not line:
        return False
    events = [each for each, _ in tables.waiting.values() if isinstance(each, BursarPayment)]
    reversed_whole = [
        event.original
        for event in events
        if event.original in tables.payments
        and event.amount in (None, tables.payments[event.original]["amount"])
    ]
    return any(
        event.kind.value in ("payment", "write_off")
        and event.key not in reversed_whole
        and _fine_of(tables, event) == line.fine
        for event in events
    )


def _fine_of(tables: Tables, event: BursarPayment) -> FineId | None:
    home = event.key.institution_id
    line = tables.lines.get((home, event.bursar_transaction_id or ""))
    fine_id = event.fine_id if line is None else line["fine"]
    return None if fine_id is None else (home, fine_id)
