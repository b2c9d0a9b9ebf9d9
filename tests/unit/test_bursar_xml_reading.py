"""Reading the bursar XML back, and what a bursar may send instead."""

from contextlib import suppress
from hashlib import sha256
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from service.core.words import Reason
from service.export.batch import Batch, totals_of_batch
from service.export.xml.read import BadLine, PaidLine, read, read_import, totals_of_read
from service.export.xml.stream import Fault, UnreadableDocument, not_well_formed
from service.export.xml.write import NAMESPACE, render
from tests.golden.batches import any_batch, golden_batches
from tests.support.answers import document, fine
from tests.support.read_batches import printed


@given(any_batch())
def test_law_6_what_is_read_is_what_the_batch_prints(drawn: Batch) -> None:
    assert read(render(drawn)) == printed(drawn)


@given(any_batch())
def test_law_7_totals_of_the_bytes_are_totals_of_the_batch(drawn: Batch) -> None:
    assert totals_of_read(read(render(drawn))) == totals_of_batch(drawn)


@given(any_batch())
def test_a_file_sent_back_as_it_came_pays_every_line(drawn: Batch) -> None:
    result = read_import(render(drawn))
    assert not result.bad
    assert [(paid.bursar_transaction_id, paid.amount) for paid in result.lines] == [
        (sent.bursar_transaction_id, sent.amount) for sent in drawn.lines
    ]


@pytest.mark.parametrize("prefix", ["xb", "bursar", ""])
def test_any_prefix_is_read(prefix: str) -> None:
    p = f"{prefix}:" if prefix else ""
    result = read_import(document(fine(p=p), prefix=prefix))
    assert result.lines == (PaidLine(1, "77", 95_00, "USD"),)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_that_announce_themselves_are_read(encoding: str) -> None:
    data = document(fine()).decode().encode(encoding)
    assert read_import(data).lines == (PaidLine(1, "77", 95_00, "USD"),)


@pytest.mark.parametrize(
    ("text", "currency", "amount"),
    [
        ("300.00", "USD", 300_00),
        ("300", "USD", 300_00),
        ("95.5", "USD", 95_50),
        ("95.5000000", "USD", 95_50),
        ("-3.25", "USD", -3_25),
        ("\n  12.30 \n", "USD", 12_30),
        ("300.00", "JPY", 300),
        ("1.25", "KWD", 1_250),
    ],
)
def test_a_sum_may_have_trailing_zeros_and_blanks_around(
    text: str, currency: str, amount: int
) -> None:
    result = read_import(document(fine(text=text, currency=currency)))
    assert result.lines == (PaidLine(1, "77", amount, currency),)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (fine(text="0"), Reason.INVALID_AMOUNT),
        (fine(text="-0.00"), Reason.INVALID_AMOUNT),
        (fine(text="5."), Reason.INVALID_AMOUNT),
        (fine(text="5.00."), Reason.INVALID_AMOUNT),
        (fine(text="~5"), Reason.INVALID_AMOUNT),
        (fine(text="1e3"), Reason.INVALID_AMOUNT),
        (fine(text="+5"), Reason.INVALID_AMOUNT),
        (fine(text="1,000.00"), Reason.INVALID_AMOUNT),
        (fine(text="95.005"), Reason.INVALID_AMOUNT),
        (fine(text="٩٥"), Reason.INVALID_AMOUNT),
        (fine(text=""), Reason.INVALID_AMOUNT),
        (fine(text="0.5", currency="JPY"), Reason.INVALID_AMOUNT),
        (fine(currency="XXQ"), Reason.INVALID_CURRENCY),
        (fine(currency=""), Reason.INVALID_CURRENCY),
        (fine(text="12<xb:o/>.50"), Reason.INVALID_SCHEMA),
        (fine(text="1<o xmlns='urn:other'>2</o>3"), Reason.INVALID_SCHEMA),
        (fine(line_id="77<xb:o/>8"), Reason.INVALID_SCHEMA),
        (fine(currency="USD<xb:o/>N"), Reason.INVALID_SCHEMA),
        (fine(line_id="7x"), Reason.INVALID_SCHEMA),
        (fine(line_id=""), Reason.INVALID_SCHEMA),
        (fine(line_id="1" * 21), Reason.INVALID_SCHEMA),
        (fine() + "<xb:bursarTransactionId>78</xb:bursarTransactionId>", Reason.INVALID_SCHEMA),
        ("<xb:bursarTransactionId>78</xb:bursarTransactionId>", Reason.INVALID_SCHEMA),
        ("", Reason.INVALID_SCHEMA),
    ],
)
def test_a_fine_that_says_nothing_is_rejected_alone_with_its_bytes(
    text: str, reason: Reason
) -> None:
    result = read_import(document(fine("1"), text, fine("3")))
    assert [paid.n for paid in result.lines] == [1, 3]
    (bad,) = result.bad
    assert (bad.n, bad.reason) == (2, reason)
    assert b"userFineFee" in bad.value


def test_what_is_wrong_is_told_without_the_value() -> None:
    (bad,) = read_import(document(fine(text="secret"))).bad
    assert isinstance(bad, BadLine)
    assert bad.detail.startswith("sum: ")
    assert "secret" not in bad.detail


def test_unknown_elements_and_comments_are_ignored() -> None:
    strange = "<xb:receipt>9<xb:sum>1</xb:sum></xb:receipt><o xmlns='urn:other'>1</o>"
    split = fine(text="9<!-- not ten -->5<?pi x?>.00")
    result = read_import(document(strange + split))
    assert result.lines == (PaidLine(1, "77", 95_00, "USD"),)


def test_a_fine_that_stands_in_another_one_pays_nothing_and_keeps_the_numbers() -> None:
    """As history in an element that is unknown: the fine around it is what was paid."""
    inner = f"<xb:earlier><xb:userFineFee>{fine('76', '5')}</xb:userFineFee></xb:earlier>"
    result = read_import(document(fine("75"), inner + fine("77"), fine("78")))
    assert [(paid.n, paid.bursar_transaction_id) for paid in result.lines] == [
        (1, "75"),
        (3, "77"),
        (4, "78"),
    ]
    assert result.bad == ()


@pytest.mark.parametrize("again", ["xb:bursarTransactionId", "xb:compositeSum"])
def test_what_is_said_twice_of_a_fine_is_rejected_and_named(again: str) -> None:
    (bad,) = read_import(document(fine() + f"<{again}>78</{again}>")).bad
    assert bad.detail == f"{again.removeprefix('xb:')}: must be there exactly once"


def test_unknown_elements_may_repeat() -> None:
    result = read_import(document(fine() + "<xb:note>a</xb:note><xb:note>b</xb:note>"))
    assert result.lines == (PaidLine(1, "77", 95_00, "USD"),)


def test_the_same_id_twice_in_one_currency_is_two_lines() -> None:
    result = read_import(document(fine(text="5"), fine(text="6")))
    assert [paid.amount for paid in result.lines] == [5_00, 6_00]


def test_a_file_is_read_in_pieces_and_named_by_its_digest() -> None:
    data = document(*(fine(str(n)) for n in range(1, 3_000)))
    result = read_import(BytesIO(data))
    assert [paid.n for paid in result.lines] == list(range(1, 3_000))
    assert result.sha256 == sha256(data).hexdigest()


ENTITY = '<!DOCTYPE x [<!ENTITY e "95.00">]>'


EXTERNAL = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>'


LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a0 "aaaaaaaaaa">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    + "]>"
)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"<!DOCTYPE x>" + document(fine()), Fault.DOCTYPE),
        (b"<!DOCTYPE x>" + document(), Fault.DOCTYPE),
        (ENTITY.encode() + document(fine(text="&e;")), Fault.DOCTYPE),
        (EXTERNAL.encode() + document(fine(text="&e;")), Fault.DOCTYPE),
        (LAUGHS.encode() + document(fine(text="&a9;")), Fault.NOT_WELL_FORMED),
        (LAUGHS.encode() + document(f'<xb:o x="&a9;"/>{fine()}'), Fault.NOT_WELL_FORMED),
        (document(fine(text="&e;")), Fault.NOT_WELL_FORMED),
        (document(fine())[:-20], Fault.NOT_WELL_FORMED),
        (document(fine()) + b"more", Fault.NOT_WELL_FORMED),
        (document("\x00"), Fault.NOT_WELL_FORMED),
        (b"", Fault.EMPTY),
        (b"PK\x03\x04", Fault.NOT_WELL_FORMED),
        (document(fine()).replace(NAMESPACE.encode(), b"urn:other"), Fault.OTHER_ROOT),
        (b"<html/>", Fault.OTHER_ROOT),
        (document(fine(), fine(currency="EUR")), Fault.TWO_CURRENCIES),
    ],
)
def test_a_document_is_refused_as_a_whole(data: bytes, fault: Fault) -> None:
    with pytest.raises(UnreadableDocument) as raised:
        read_import(data)
    assert raised.value.fault is fault


def test_the_place_is_named_where_a_document_is_not_well_formed() -> None:
    for fault in ("&nbsp;", "</xb:o>"):
        with pytest.raises(UnreadableDocument, match=r"not well formed \(line 3, column [0-9]+\)$"):
            read_import(document(fine("1"), fine("2") + f"<xb:name>{fault}</xb:name>"))
    with pytest.raises(UnreadableDocument, match=r"not well formed \(line 1, column [0-9]+\)$"):
        read_import(b" ")


def test_no_place_is_named_where_the_parser_knows_none() -> None:
    etree.clear_error_log()
    unknown = etree.XMLSyntaxError("", 0, 0, 0)  # type: ignore[arg-type, call-arg]  # as it is called
    assert str(not_well_formed(unknown)) == "not well formed"


def test_a_document_larger_than_the_limit_is_refused_without_reading_on() -> None:
    class Endless(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            assert size is not None
            assert size > 0, "more than the limit is read"
            return b" " * size

    with pytest.raises(UnreadableDocument) as raised:
        read_import(Endless(), bytes_max=1_000_000)
    assert raised.value.fault is Fault.TOO_LARGE
    data = document(fine())
    assert read_import(data, bytes_max=len(data)).lines
    with pytest.raises(UnreadableDocument):
        read_import(data, bytes_max=len(data) - 1)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_garbage_is_refused_and_never_raises_anything_else(data: bytes) -> None:
    with pytest.raises(UnreadableDocument):
        read_import(data)


@given(st.data())
def test_a_broken_file_of_ours_is_refused_or_read_and_never_raises_anything_else(
    data: st.DataObject,
) -> None:
    sound = render(golden_batches()["full.xml"])
    at = data.draw(st.integers(0, len(sound) - 1))
    broken = sound[:at] + data.draw(st.binary(max_size=3)) + sound[at + 1 :]
    for reader in (read, read_import):
        with suppress(UnreadableDocument):
            reader(broken)
