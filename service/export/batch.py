"""An export batch as a value: what its file prints and in which order, its totals, its size. Pure.

Amounts are in signed minor units of the batch's currency; instants are aware datetimes in UTC.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate

from ..core.frozen import dataclass
from ..core.ledger import Item, Owner
from ..core.words import Status

Position = tuple[str, str]  # patron id and fine id: the order in which a run passes the fines
USER_NAME = "userName"
EXPORT_NUMBER_MIN = 10**14  # 15 digits, the first not 0: no number is a prefix of another
EXPORT_NUMBER_MAX = 10**15 - 1
_BURSAR_ID = re.compile(r"[1-9][0-9]{0,19}", re.ASCII)
_UNSIGNED_64_BIT_MAX = 2**64 - 1
_GIVEN_ID = re.compile(r"[0-9]{1,20}", re.ASCII)
# 1E+15 or 1,00E+15: the last digits are lost.
_ROUNDED = re.compile(r"[0-9]+([.,][0-9]*)?[eE][+-]?[0-9]+", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# A line break is one blank, however it is written; so is each other control character and what
# XML 1.0 cannot carry (surrogates, U+FFFE, U+FFFF). U+0085, U+2028 and U+2029 break lines, too.
_UNPRINTABLE = re.compile("\r\n|[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")

INSTITUTION = "institution"  # the owner's code in totals where the institution owns the fine
FINE_BYTES = 1_500  # markup, numbers and dates of a fine and its patron's element, without texts
DOCUMENT_BYTES = 400


class InvalidBatch(ValueError):
    """A batch that a bug has made wrong: it must not be printed. The text names field and rule."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field


def _require(is_kept: bool, field: str, rule: str) -> None:
    if not is_kept:
        raise InvalidBatch(field, rule)


@dataclass(frozen=True, slots=True)
class CreditRef:
    """The exported line of the fine that a credit belongs to, in this batch or an earlier one."""

    bursar_transaction_id: str
    type: str


@dataclass(frozen=True, slots=True)
class BatchLine:
    """One exported fine in a batch; `status` is the fine's status after the export.

    `owner` is None if the institution owns the fine.
    """

    bursar_transaction_id: str
    fine_id: str
    type: str
    amount: int
    status: Status
    last_transaction_at: datetime
    owner: Owner | None = None
    comment: str | None = None
    item: Item | None = None
    credit_ref: CreditRef | None = None

    def __post_init__(self) -> None:
        is_id = is_bursar_id(self.bursar_transaction_id)
        _require(is_id, "bursar_transaction_id", "must be 1 to 2^64-1 without leading 0")
        _require(self.amount != 0, "amount", "must not be zero")
        _require(
            self.last_transaction_at.tzinfo is not None, "last_transaction_at", "must be aware"
        )


@dataclass(frozen=True, slots=True)
class BatchPatron:
    """A patron with their exported fines; the bursar knows the patron by `match_value`."""

    patron_id: str
    match_type: str
    match_value: str
    name: str
    lines: tuple[BatchLine, ...]

    def __post_init__(self) -> None:
        for field in ("match_value", "name"):
            _require(bool(clean(getattr(self, field)).strip()), field, "must not be empty")
        _require(bool(self.lines), "lines", "must not be empty")


@dataclass(frozen=True, slots=True)
class Batch:
    """The content of one file; `ordered` has sorted the patrons and their fines.

    `cutoff` is the cutoff of the run that made the batch, in whole milliseconds. `zone` is the IANA
    name of the time zone in which dates are printed. `credit_references` says whether a credit's
    comment names the line of the fine that the credit belongs to.
    """

    institution_id: str
    profile: str
    export_number: int
    batch_number: int
    cutoff: datetime
    currency: str
    zone: str
    patrons: tuple[BatchPatron, ...]
    credit_references: bool = True

    def __post_init__(self) -> None:
        has_15_digits = EXPORT_NUMBER_MIN <= self.export_number <= EXPORT_NUMBER_MAX
        _require(has_15_digits, "export_number", "must have exactly 15 digits")
        _require(self.patrons == ordered(self.patrons), "patrons", "must be in order")
        ids = [line.bursar_transaction_id for line in self.lines]
        are_unique = len(set(ids)) == len(ids)
        _require(are_unique, "bursar_transaction_id", "must be unique in the batch")

    @property
    def lines(self) -> tuple[BatchLine, ...]:
        """Returns the exported fines of all patrons, in the order in which the file prints them."""
        return tuple(line for patron in self.patrons for line in patron.lines)


@dataclass(frozen=True, slots=True)
class Sum:
    """How many amounts were added up, and their signed sum in minor units."""

    count: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Totals:
    """The control totals of a batch; the totals by type and by owner are sorted by their codes."""

    all: Sum
    debits: Sum
    credits: Sum
    by_type: tuple[tuple[str, Sum], ...]
    by_owner: tuple[tuple[str, Sum], ...]
    patrons: int


def totals_of_batch(batch: Batch) -> Totals:
    """Computes a batch's totals, for comparison with those that are read from the printed bytes."""
    entries = [
        (
            clean(line.type),
            clean(line.owner.library_code) if line.owner else INSTITUTION,
            line.amount,
        )
        for line in batch.lines
    ]
    return sum_up(entries, patrons=len(batch.patrons))


def sum_up(entries: Iterable[tuple[str, str, int]], patrons: int) -> Totals:
    """Computes the totals of fines, each given by type, owner's code and signed amount."""
    rows = list(entries)
    return Totals(
        all=_sum(amount for _, _, amount in rows),
        debits=_sum(amount for _, _, amount in rows if amount > 0),
        credits=_sum(amount for _, _, amount in rows if amount < 0),
        by_type=_sums_by_code((kind, amount) for kind, _, amount in rows),
        by_owner=_sums_by_code((owner, amount) for _, owner, amount in rows),
        patrons=patrons,
    )


def _sum(amounts: Iterable[int]) -> Sum:
    listed = list(amounts)
    return Sum(len(listed), sum(listed))


def _sums_by_code(pairs: Iterable[tuple[str, int]]) -> tuple[tuple[str, Sum], ...]:
    grouped: dict[str, list[int]] = {}
    for code, amount in pairs:
        grouped.setdefault(code, []).append(amount)
    return tuple((code, _sum(grouped[code])) for code in sorted(grouped))


def clean(text: str) -> str:
    """Returns the text with blanks for line breaks and characters that the file cannot carry."""
    # Printable text has none of these characters, and the check is quick.
    return text if text.isprintable() else _UNPRINTABLE.sub(" ", text)


def is_bursar_id(text: str) -> bool:
    """Whether the text is a number without leading zeros that fits into 64 bits without a sign.

    The limit of 64 bits exists because a program that loads the file reads the id as a number.
    """
    return bool(_BURSAR_ID.fullmatch(text)) and int(text) <= _UNSIGNED_64_BIT_MAX


def fault_of_id(text: str) -> str | None:
    """Says why a text that the bursar sends as a line's id cannot be one; None if it can be one.

    Leading zeros are allowed.
    """
    if _ROUNDED.fullmatch(text):
        return "is a rounded number as spreadsheets write it: the column has to be text"
    return None if _GIVEN_ID.fullmatch(text) else "must be 1 to 20 digits"


def file_name(profile: str, export_number: int, cutoff: datetime) -> str:
    """Returns the file's name, `<profile>-<export_number>-<cutoff in epoch milliseconds>.xml`."""
    milliseconds = (cutoff - _EPOCH) // timedelta(milliseconds=1)
    return f"{profile}-{export_number}-{milliseconds}.xml"


def ordered(patrons: Iterable[BatchPatron]) -> tuple[BatchPatron, ...]:
    """Sorts the patrons by id and the fines of each: those without an item first, then by fine id.

    Python sorts texts by code point, and PostgreSQL's `COLLATE "C"` sorts them in the same order.
    """
    return tuple(
        BatchPatron(p.patron_id, p.match_type, p.match_value, p.name, _ordered_lines(p.lines))
        for p in sorted(patrons, key=lambda patron: patron.patron_id)
    )


def _ordered_lines(lines: Iterable[BatchLine]) -> tuple[BatchLine, ...]:
    return tuple(sorted(lines, key=lambda line: place_in_patron(line.item, line.fine_id)))


def place_in_patron(item: Item | None, fine_id: str) -> tuple[bool, str]:
    """Returns the sort key of a fine within its patron: fines without an item come first."""
    # One reader repeats the previous fine's item on a fine that has none.
    return item is not None, fine_id


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest size of a batch; one fine above `bytes_max` is exported nevertheless."""

    fines_max: int
    bytes_max: int

    def allow(self, fines: int, size_bytes: int) -> bool:
        """Whether a batch with this number of fines and bytes is within the limits."""
        return fines <= self.fines_max and size_bytes + DOCUMENT_BYTES <= self.bytes_max


@dataclass(frozen=True, slots=True)
class SelectedFine:
    """A fine that is to be exported, with the most bytes that it can take in the file."""

    position: Position
    size_bytes: int


def fitting(
    count: int, size_bytes: int, fines: Sequence[SelectedFine], limits: Limits
) -> Sequence[SelectedFine]:
    """Returns which of a patron's fines go into a batch of `count` fines and `size_bytes` so far.

    All of them go into the batch if they fit, otherwise none, so that a patron's fines stay in one
    batch. Only the fines of a patron that exceed the limits by themselves are divided between
    batches. The first part of divided fines begins a new batch, which takes as many as fit, and at
    least one. Therefore a batch does not depend on earlier batches, and an interrupted run makes
    the same batches as an uninterrupted one.
    """
    sizes = accumulate((fine.size_bytes for fine in fines), initial=size_bytes)
    next(sizes)
    fit = sum(limits.allow(count + n, size) for n, size in enumerate(sizes, start=1))
    if fit == len(fines):
        return fines
    return () if count else fines[: max(fit, 1)]


def size_bytes_max(patron: BatchPatron, line: BatchLine) -> int:
    """Returns the most bytes that a fine can take in the file, with its patron's element."""
    item, owner, ref = line.item, line.owner, line.credit_ref
    texts = (
        *(patron.match_type, patron.match_value, patron.name, line.type, line.comment),
        *((owner.library_id, owner.library_code) if owner else ()),
        *((ref.bursar_transaction_id, ref.type) if ref else ()),
        *((item.title, item.call_number, item.library, item.barcode) if item else ()),
        *((item.location, item.internal_location) if item else ()),
    )
    joined = "".join([text for text in texts if text])
    escaped = 4 * (joined.count("&") + joined.count("<") + joined.count(">"))
    return FINE_BYTES + len(joined.encode(errors="replace")) + escaped
