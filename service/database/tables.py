"""Describes the tables of the ledger: how a value of the rules, such as a fine, becomes a row of
its table, and a row becomes a value.

Each table is described once, by a `Table` of this module. From this description come the columns
for COPY, the rows to insert, the rows of an UPDATE (key and changing columns), and the conversion
of rows that were read. The functions that convert values are compiled once, when the table is
described.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

import asyncpg

from ..core.amendment import NOT_AMENDED, Amendment
from ..core.batches import ExportLine, LoanClosed, Response, SealedBatch
from ..core.changes import Transaction
from ..core.events import Rejection
from ..core.ledger import (
    Account,
    AccountKey,
    BatchKey,
    Change,
    Fine,
    FineFacts,
    LineKey,
    Patron,
    Payment,
    SourceKey,
)
from ..core.terms import Terms
from ..core.words import (
    BURSAR_COMMENT,
    BatchState,
    Considered,
    ItemState,
    LineState,
    PaymentKind,
    Reason,
    ResponseOutcome,
    Status,
)
from .encodings import cause_json, identifiers_of, item_of, json_of, owner_of, terms_id
from .outbox import pack_headers

V = TypeVar("V")
Cells = tuple[Any, ...]  # the values of a row, as the driver takes and gives them
Converters = Mapping[str, Callable[[Any], object]]


class Table(Generic[V]):
    """The description of one table, whose rows correspond to values of the type V.

    `columns` lists the columns as attribute paths of a value, such as `key.institution_id`; the
    first `key_width` columns are the key. The last part of a path is the name of the column, unless
    another name is given after a colon. `changing` names the columns that an UPDATE may set.
    `stored` and `loaded` have functions that convert the values of some columns when they are
    written and read, unless they are NULL; `make` creates a value from the converted columns of a
    row. If `is_dated` is set, the table's last column is the time at which the row was recorded,
    which is not part of the value.
    """

    def __init__(
        self,
        name: str,
        columns: str,
        key_width: int,
        *,
        changing: str = "",
        stored: Converters | None = None,
        loaded: Converters | None = None,
        make: Callable[[Cells], V] | None = None,
        is_dated: bool = False,
    ) -> None:
        paths = {}
        for column in columns.split():
            path, _, column_name = column.partition(":")
            paths[column_name or path.rpartition(".")[2]] = f"source.{path}"
        names = tuple(paths)
        changed = (*names[:key_width], *changing.split())
        self.name = name
        self.is_dated = is_dated
        self.columns = (*names, "recorded_at") if is_dated else names
        self.row = _compiled(paths, stored or {})
        self.changed_row = _compiled({column: paths[column] for column in changed}, stored or {})
        self.cells = _compiled({column: f"source[{column!r}]" for column in names}, loaded or {})
        self._make = make

    def rows(self, values: Iterable[V], recorded_at: datetime) -> list[Cells]:
        """Returns a row for each value, with its cells in the order of `columns`."""
        if self.is_dated:
            return [(*self.row(value), recorded_at) for value in values]
        return [self.row(value) for value in values]

    def value(self, row: asyncpg.Record) -> V:
        """Returns the value that a row describes; the row may have more columns than this table."""
        assert self._make is not None, f"rows of {self.name} are not read as values"
        return self._make(self.cells(row))


def _compiled(expressions: Mapping[str, str], converters: Converters) -> Callable[[Any], Cells]:
    """Returns a function that returns the cells of `source`, in the order of the expressions.

    It is compiled, as the methods of a dataclass are: a poll has thousands of rows, and a loop over
    the columns of each would take longer than all that the rules decide.
    """
    cells = [
        f"(None if (cell := {expression}) is None else {column}(cell))"
        if column in converters
        else expression
        for column, expression in expressions.items()
    ]
    compiled: Callable[[Any], Cells] = eval(f"lambda source: ({', '.join(cells)},)", {**converters})
    return compiled


def columns_of(rows: Iterable[Sequence[object]]) -> list[list[object]]:
    """Returns the rows turned into columns: one list for each column; an empty result if there are
    no rows.
    """
    return [list(column) for column in zip(*rows, strict=True)]


def key_columns(keys: Collection[tuple[str | int, ...]], width: int) -> list[list[object]]:
    """Returns the keys in sorted order, turned into columns: one list for each of the `width`
    columns of the key.
    """
    return columns_of(sorted(keys)) or [[] for _ in range(width)]


def members(kind: type[StrEnum]) -> Callable[[str], StrEnum]:
    """Returns a function that finds the member of the enumeration `kind` that has a given value.

    The function looks the value up in a dictionary, which is faster than calling the enumeration
    class.
    """
    return {member.value: member for member in kind}.__getitem__


_REASON = members(Reason)
_STATE = members(ItemState)
_FACTS = (
    "institution_id fine_id patron_id type amount currency owner created_at comment loan_id item"
    " credit_of exportable digest"
).split()

ACCOUNT = Table(
    "account",
    "key.institution_id key.patron_id key.currency active transferred sequence epoch",
    3,
    changing="active transferred sequence",
    make=lambda cells: Account(AccountKey(*cells[:3]), *cells[3:]),
)
PATRON = Table(
    "patron",
    "institution_id patron_id name user_group identifiers seen_at",
    2,
    stored={"identifiers": json_of},
    loaded={"identifiers": identifiers_of},
    make=lambda cells: Patron(*cells),
)
FINE: Table[Fine] = Table(
    "fine",
    # The amount is that of the creation only if the fine was never adjusted.
    " ".join("amount" if name == "amount" else f"facts.{name}" for name in _FACTS)
    + " status considered remaining outstanding bursar_transaction_id:line terms:terms_id"
    " payments_live status_code refused_reason released changed_at",
    2,
    changing="amount status considered remaining outstanding line terms_id payments_live"
    " status_code refused_reason released changed_at",
    stored={"owner": json_of, "item": json_of, "terms_id": terms_id},
    loaded={
        "owner": owner_of,
        "item": item_of,
        "status": members(Status),
        "considered": members(Considered),
    },
)
AMENDMENT: Table[Fine] = Table(
    "fine_amendment",
    "facts.institution_id facts.fine_id amount_created amendment.adjusted_at amendment.disputed_at"
    " amendment.unconfirmed",
    2,
)
_NOT_AMENDED = (None, None, None, None)
PAYMENT = Table(
    "payment",
    "key.institution_id key.source key.id:payment_id kind digest state fine_id"
    " bursar_transaction_id currency amount paid_at applied excess credit_id reversed_by reverses"
    " reason",
    3,
    changing="state fine_id applied excess credit_id reversed_by reason",
    loaded={"kind": members(PaymentKind), "state": _STATE, "reason": _REASON},
    make=lambda cells: Payment(SourceKey(*cells[:3]), *cells[3:]),
)
CHANGE = Table(
    "fine_change",
    "key.institution_id key.source key.id:change_id digest state fine_id reason",
    3,
    changing="state reason",
    # Releases up to 0.6.0 fail on a reason that they do not know when a repeat of the change lets
    # them read it. No command or report shows this column: rejected records have the reason.
    stored={"reason": lambda reason: Reason.NO_CHANGE if reason is Reason.OVERTAKEN else reason},
    loaded={"state": _STATE, "reason": _REASON},
    make=lambda cells: Change(SourceKey(*cells[:3]), *cells[3:]),
)
RESPONSE = Table(
    "export_response",
    "key.institution_id key.source key.id:response_id digest batch.profile batch.batch_number"
    " state reason outcome lines responded_at",
    3,
    changing="state reason outcome lines responded_at",
    loaded={"state": _STATE, "reason": _REASON, "outcome": members(ResponseOutcome)},
    make=lambda cells: Response(
        SourceKey(*cells[:3]), cells[3], BatchKey(cells[0], *cells[4:6]), *cells[6:]
    ),
    is_dated=True,
)
LINE = Table(
    "export_line",
    "key.institution_id key.bursar_transaction_id fine_id batch.profile batch.batch_number amount"
    " currency state reason",
    2,
    changing="state reason",
    loaded={"state": members(LineState)},
    make=lambda cells: ExportLine(
        LineKey(*cells[:2]), cells[2], BatchKey(cells[0], *cells[3:5]), *cells[5:]
    ),
)
BATCH = Table(
    "export_batch",
    "key.institution_id key.profile key.batch_number currency count:fine_count total state",
    3,
    changing="state",
    loaded={"state": members(BatchState)},
    make=lambda cells: SealedBatch(BatchKey(*cells[:3]), *cells[3:]),
)
REJECTION: Table[Rejection] = Table(
    "rejected",
    "origin.topic origin.partition origin.offset:record_offset institution_id reason detail"
    " origin.key:record_key origin.value:record_value origin.headers:record_headers"
    " origin.timestamp_ms:record_timestamp_ms",
    3,
    stored={"record_headers": pack_headers},
)
LOAN_CLOSED: Table[LoanClosed] = Table(
    "loan_closed", "institution_id loan_id patron_id fine_id batch_number closed_at", 2
)
TRANSACTION: Table[Transaction] = Table(
    "ledger_transaction",
    "after.key.institution_id after.key.patron_id after.key.currency after.sequence after.epoch"
    " transaction_id fine.facts.fine_id kind label amount active_change transferred_change"
    " after.active after.transferred comment cause fine.status:fine_status"
    " fine.considered:fine_considered fine.remaining:fine_remaining"
    " fine.outstanding:fine_outstanding occurred_at",
    4,
    stored={
        "comment": lambda text: text if text == BURSAR_COMMENT else None,
        "cause": cause_json,
    },
    is_dated=True,
)


def fine_of(row: asyncpg.Record, terms: Mapping[tuple[str, str], Terms]) -> Fine:
    """Returns the fine that a row of the table `fine`, joined with the fine's row of
    `fine_amendment`, describes.

    `terms` must contain the terms that the row names, by institution and id of the terms.
    """
    cells = FINE.cells(row)
    facts, amendment = FineFacts(*cells[: len(_FACTS)]), NOT_AMENDED
    amended = AMENDMENT.cells(row)[2:]
    if amended != _NOT_AMENDED:
        facts, amendment = _amended(facts, *amended)
    state = (*cells[len(_FACTS) :], amendment)
    status, considered, remaining, outstanding, bursar_transaction_id, key, *others = state
    exported_under = None if key is None else terms[(facts.institution_id, key)]
    kept = (status, considered, remaining, outstanding, bursar_transaction_id, exported_under)
    return Fine(facts, *kept, *others)


def _amended(
    facts: FineFacts,
    amount_created: int | None,
    adjusted_at: datetime | None,
    disputed_at: datetime | None,
    unconfirmed: bool,
) -> tuple[FineFacts, Amendment]:
    """The facts with the amount of the creation, and the amendment with that of now."""
    amount = None if amount_created is None else facts.amount
    amendment = Amendment(amount, adjusted_at, disputed_at, unconfirmed)
    if amount_created is not None:
        facts = replace(facts, amount=amount_created)
    return facts, amendment
