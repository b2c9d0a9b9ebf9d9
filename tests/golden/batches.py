"""The batches behind the golden files, and any batch there could be."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from hypothesis import strategies as st

from service.core.bursar_ids import bursar_id
from service.core.ledger import Item, Owner
from service.core.money import decimals
from service.core.words import Status
from service.export.batch import Batch, BatchLine, BatchPatron, CreditRef, clean, ordered

GOLDEN = Path(__file__).parent
CUTOFF = datetime(2026, 9, 12, 19, 30, 0, 250_000, tzinfo=UTC)
SNAPSHOT_AT = datetime(2026, 9, 12, 19, 22, 6, tzinfo=UTC)

MAIN = Owner("11111", "MAIN", "Main Library")


def line(n: int, amount: int = 95_00, **fields: object) -> BatchLine:
    """A plain fine of the institution."""
    known: dict[str, object] = {
        "bursar_transaction_id": bursar_id(1_500_004_000 + n),
        "fine_id": f"fine-{n:03}",
        "type": "OVERDUEFINE",
        "amount": amount,
        "status": Status.TRANSFERRED,
        "last_transaction_at": SNAPSHOT_AT,
    }
    make: Callable[..., BatchLine] = BatchLine
    return make(**{**known, **fields})


def patron(name: str, *lines: BatchLine, match: tuple[str, str] = ("02", "0012345")) -> BatchPatron:
    return BatchPatron(name, match[0], match[1], f"{name.title()}, Ann", lines)


def batch(*patrons: BatchPatron, **fields: object) -> Batch:
    known: dict[str, object] = {
        "institution_id": "972",
        "profile": "main",
        "export_number": 100_000_000_000_042,
        "batch_number": 7,
        "cutoff": CUTOFF,
        "currency": "USD",
        "zone": "America/New_York",
        "patrons": ordered(patrons),
    }
    make: Callable[..., Batch] = Batch
    return make(**{**known, **fields})


def golden_batches() -> dict[str, Batch]:
    """Each golden file's batch, by the file's name."""
    item = Item(
        title="Cats & Dogs <2nd ed.>\r\n\tvol. 1",
        call_number="QL 737.C23",
        library="Main Library",
        location="Stacks",
        internal_location="M1",
        due_date=datetime(2026, 1, 5, 4, 59, tzinfo=UTC),
        barcode="39031031697261",
    )
    ref = CreditRef("15000042421", "LOSTITEMREPLACEMENTFEE")
    full = batch(
        patron(
            "baker",
            line(4, 95_50, item=item, owner=MAIN, comment="Returned\nlate"),
            line(3, 300_00, type="LOSTITEMREPLACEMENTFEE", item=Item("Atlas"), owner=MAIN),
            line(5, 12_34, type="CARDRENEWAL"),
        ),
        patron("abel", line(1, -3_25, type="CREDIT", comment="goodwill", credit_ref=ref)),
    )
    return {
        "full.xml": full,
        "empty.xml": batch(),
        "user_name.xml": batch(
            patron("Müller", line(1, 1), match=("userName", "müller.a")), zone="Europe/Istanbul"
        ),
        "yen.xml": batch(patron("sato", line(1, 300)), currency="JPY", zone="Asia/Tokyo"),
        "dinar.xml": batch(patron("hadi", line(1, 1_250)), currency="KWD", zone="Asia/Kuwait"),
        "no_credit_references.xml": batch(
            patron("abel", line(1, -3_25, type="CREDIT", credit_ref=ref)), credit_references=False
        ),
    }


def any_text(min_size: int = 0, max_size: int = 30) -> st.SearchStrategy[str]:
    """Every text Python can hold, lone surrogates and control characters included."""
    return st.text(st.characters(exclude_categories=()), min_size=min_size, max_size=max_size)


def visible_text() -> st.SearchStrategy[str]:
    return any_text(1).filter(lambda text: bool(clean(text).strip()))


_optional_text = st.none() | any_text()
_instants = st.datetimes(timezones=st.just(UTC))
_bursar_ids = st.integers(1, 2**64 - 1).map(str)
_items = st.builds(
    Item,
    title=any_text(),
    call_number=_optional_text,
    library=_optional_text,
    location=_optional_text,
    internal_location=_optional_text,
    due_date=st.none() | _instants,
    barcode=_optional_text,
)
_owners = st.builds(
    Owner,
    library_id=st.from_regex(r"[0-9]{1,9}", fullmatch=True),
    library_code=visible_text(),
    library_name=any_text(),
)
_lines = st.builds(
    BatchLine,
    bursar_transaction_id=_bursar_ids,
    fine_id=st.text(min_size=1, max_size=8),
    type=st.sampled_from(["OVERDUEFINE", "CREDIT"]) | visible_text(),
    amount=st.integers(-(10**9), 10**9).filter(bool),
    status=st.sampled_from([Status.CLOSED, Status.TRANSFERRED]),
    last_transaction_at=_instants,
    owner=st.none() | _owners,
    comment=_optional_text,
    item=st.none() | _items,
    credit_ref=st.none() | st.builds(CreditRef, _bursar_ids, visible_text()),
)
_patrons = st.builds(
    BatchPatron,
    patron_id=st.text(min_size=1, max_size=8),
    match_type=st.sampled_from(["userName", "02", "OTHER_ID_1"]),
    match_value=visible_text(),
    name=visible_text(),
    lines=st.lists(_lines, min_size=1, max_size=4).map(tuple),
)
ZONES = ["America/New_York", "Europe/Istanbul", "Asia/Kolkata", "America/Sao_Paulo", "UTC"]


@st.composite
def any_batch(draw: st.DrawFn) -> Batch:
    currency = draw(st.sampled_from(["JPY", "USD", "KWD"]))
    assert decimals(currency) <= 3
    first_id = draw(st.integers(1, 2**64 - 100))
    return batch(
        *_numbered(draw(st.lists(_patrons, max_size=4)), first_id),
        institution_id=str(draw(st.integers(1, 2**31))),
        export_number=draw(st.integers(10**14, 10**15 - 1)),
        cutoff=CUTOFF + timedelta(milliseconds=draw(st.integers(0, 10**9))),
        currency=currency,
        zone=draw(st.sampled_from(ZONES)),
        credit_references=draw(st.booleans()),
    )


def _numbered(patrons: list[BatchPatron], first_id: int) -> list[BatchPatron]:
    """The patrons with ids that are unique in the batch."""
    ids = map(str, count(first_id))
    return [
        replace(
            who, lines=tuple(replace(item, bursar_transaction_id=next(ids)) for item in who.lines)
        )
        for who in patrons
    ]
