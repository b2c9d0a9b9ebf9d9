"""An export batch as a value: what one file prints, in which order, its totals and its size. Pure.

Amounts are in signed minor units of the currency of the batch, instants are aware and in UTC.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate

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
    """A batch that must not be printed, because of a bug. The text names the field and the rule."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field


def _require(is_kept: bool, field: str, rule: str) -> None:
    if not is_kept:
        raise InvalidBatch(field, rule)


@dataclass(frozen=True, slots=True)
class CreditRef:
    """The line of the fine that a credit refers to, which an earlier batch or this one exports."""

    bursar_transaction_id: str
    type: str


@dataclass(frozen=True, slots=True)
class BatchLine:
    """One exported fine; `status` is the status after the export.

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
    """The lines of a patron, with the identifier by which the profile matches patrons."""

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
    """What one file prints; the patrons and their lines are in the order of `ordered`.

    `cutoff` is that of the run, in whole milliseconds. `zone` is an IANA name. `credit_references`
    says whether the comments of credits name the lines to which they refer.
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
        """The lines of all patrons, in order."""
        return tuple(line for patron in self.patrons for line in patron.lines)


@dataclass(frozen=True, slots=True)
class Sum:
    """How many amounts there are, and their signed total."""

    count: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Totals:
    """The control totals of a batch; those by type and by owner are in the order of the codes."""

    all: Sum
    debits: Sum
    credits: Sum
    by_type: tuple[tuple[str, Sum], ...]
    by_owner: tuple[tuple[str, Sum], ...]
    patrons: int


def totals_of_batch(batch: Batch) -> Totals:
    """The totals of a batch, which are compared with those of its bytes."""
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
    """The totals of entries of type, owner code and signed amount."""
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
    """The text with a blank for each line break and each character that the format cannot carry."""
    # Printable text has none of these characters, and the check is quick.
    return text if text.isprintable() else _UNPRINTABLE.sub(" ", text)


def is_bursar_id(text: str) -> bool:
    """Whether the text is a number without leading 0 that fits into unsigned 64 bits.

    One reader parses the id as a number.
    """
    return bool(_BURSAR_ID.fullmatch(text)) and int(text) <= _UNSIGNED_64_BIT_MAX


def fault_of_id(text: str) -> str | None:
    """Which rule a text breaks that a bursar gives as the id of a line; None if it is an id.

    Zeros in front are allowed.
    """
    if _ROUNDED.fullmatch(text):
        return "is a rounded number as spreadsheets write it: the column has to be text"
    return None if _GIVEN_ID.fullmatch(text) else "must be 1 to 20 digits"


def file_name(profile: str, export_number: int, cutoff: datetime) -> str:
    """The name of the file: `<profile>-<export_number>-<cutoff in epoch milliseconds>.xml`."""
    milliseconds = (cutoff - _EPOCH) // timedelta(milliseconds=1)
    return f"{profile}-{export_number}-{milliseconds}.xml"


def ordered(patrons: Iterable[BatchPatron]) -> tuple[BatchPatron, ...]:
    """The patrons by id, and the lines of each: those without an item first, then by fine id.

    Python sorts text by code point, which is the order of the bytes in UTF-8 (`COLLATE "C"`).
    """
    return tuple(
        BatchPatron(p.patron_id, p.match_type, p.match_value, p.name, _ordered_lines(p.lines))
        for p in sorted(patrons, key=lambda patron: patron.patron_id)
    )


def _ordered_lines(lines: Iterable[BatchLine]) -> tuple[BatchLine, ...]:
    return tuple(sorted(lines, key=lambda line: place_in_patron(line.item, line.fine_id)))


def place_in_patron(item: Item | None, fine_id: str) -> tuple[bool, str]:
    """The key by which the fines of a patron are sorted in the file."""
    # One reader repeats the previous fine's item on a fine that has none.
    return item is not None, fine_id


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest size of a batch; a fine larger than `bytes_max` has a batch all the same."""

    fines_max: int
    bytes_max: int

    def allow(self, fines: int, size_bytes: int) -> bool:
        """Whether a batch may have so many fines that take so many bytes."""
        return fines <= self.fines_max and size_bytes + DOCUMENT_BYTES <= self.bytes_max


@dataclass(frozen=True, slots=True)
class SelectedFine:
    """A fine that is to be exported, with the bytes that it takes in the file at most."""

    position: Position
    size_bytes: int


def fitting(
    count: int, size_bytes: int, fines: Sequence[SelectedFine], limits: Limits
) -> Sequence[SelectedFine]:
    """Which fines of one patron a batch takes that has `count` fines of `size_bytes` already.

    The batch takes all of them, or none if they do not fit: a patron's fines stay together. Only a
    patron whose fines alone exceed the limits is divided. The first part begins an empty batch,
    which takes as many fines as fit, and at least one. So a batch depends on nothing before it, and
    a run that was interrupted is cut as the whole run would have been.
    """
    sizes = accumulate((fine.size_bytes for fine in fines), initial=size_bytes)
    next(sizes)
    fit = sum(limits.allow(count + n, size) for n, size in enumerate(sizes, start=1))
    if fit == len(fines):
        return fines
    return () if count else fines[: max(fit, 1)]


def size_bytes_max(patron: BatchPatron, line: BatchLine) -> int:
    """The bytes that a fine takes in the file at most, with its share of the patron's element."""
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
