"""What a rejected fine of a bursar's file keeps, and where a document is at fault."""

import re
from io import BytesIO
from pathlib import Path

import pytest

from service.export.xml.read import read, read_import, totals_of_read
from service.export.xml.stream import BYTES_MAX, Fault, UnreadableDocument, elements
from service.export.xml.write import render
from tests.golden.batches import batch, line, patron
from tests.support.answers import document, fine


def test_a_rejected_fine_keeps_its_bytes_in_utf_8() -> None:
    title = "<xb:itemTitle>Приключения — Ёж</xb:itemTitle>"
    (bad,) = read_import(document(fine(text="0") + title, fine())).bad
    assert title.encode() in bad.value
    assert bad.value.endswith(b"</xb:userFineFee>")


def test_the_institutions_of_a_file_are_those_of_its_fines() -> None:
    """Of sound fines and of others: an import refuses a file of another institution."""

    def of(institution: str) -> str:
        inner = f"<xb:InstitutionId>{institution}</xb:InstitutionId>"
        return f"<xb:owneredEntity>{inner}</xb:owneredEntity>"

    fines = fine("1") + of("972"), fine("2"), fine(text="0") + of(" 973\n"), fine("3") + of("")
    assert read_import(document(*fines)).institutions == {"972", "973"}
    assert read_import(document(fine())).institutions == frozenset()


def test_the_fine_that_brings_a_second_currency_is_named() -> None:
    with pytest.raises(UnreadableDocument, match=r"bursarTransactionId \(userFineFee 2\)$"):
        read_import(document(fine(), fine(currency="EUR")))


def test_a_document_type_is_not_even_loaded(tmp_path: Path) -> None:
    """Were it, its own fault would be met first."""
    broken = tmp_path / "broken.dtd"
    broken.write_text("<!ELEMENT", "utf-8")
    declaration = f'<!DOCTYPE x SYSTEM "{broken.as_uri()}">'
    with pytest.raises(UnreadableDocument) as raised:
        read_import(declaration.encode() + document(fine()))
    assert raised.value.fault is Fault.DOCTYPE


def test_a_patron_s_institution_counts_and_null_is_none() -> None:
    data = render(batch(patron("abel", line(1)))).decode()
    of_the_patron = "<xb:value>0012345</xb:value><xb:owneredEntity><xb:InstitutionId>"
    assert read_import(data.encode()).institutions == {"972"}
    for named, institutions in (("973", {"972", "973"}), ("null", {"972"})):
        other = data.replace(f"{of_the_patron}972", f"{of_the_patron}{named}")
        assert read_import(other.encode()).institutions == institutions


def test_a_foreign_document_is_refused_at_its_first_fine() -> None:
    """And not after all of it was read, which may be 64 MiB."""
    ours = document(*[fine()] * 10_000)
    stream = BytesIO(ours.replace(b"xb:xml-fragment", b"xb:other"))
    with pytest.raises(UnreadableDocument) as raised:
        next(elements(stream, BYTES_MAX))
    assert raised.value.fault is Fault.OTHER_ROOT
    assert stream.tell() < len(ours) / 2


@pytest.mark.parametrize(
    ("inner", "detail"),
    [
        (fine(text="5<xb:o/>"), "sum: must hold nothing but text"),
        (fine(text="0"), "sum: must not be zero"),
        (fine(text="5,0"), "sum: must be plain digits with an optional fraction"),
        (fine(text="5.001"), "sum: has more decimals than the currency"),
        (fine(currency="XXQ"), "currency: must be an ISO 4217 code with 0 to 3 decimals"),
        (fine("7x"), "bursarTransactionId: must be 1 to 20 digits"),
        (fine("0" * 21), "bursarTransactionId: must be 1 to 20 digits"),
        ("", "compositeSum: must be there exactly once"),
    ],
)
def test_a_rejected_fine_says_its_field_and_the_rule(inner: str, detail: str) -> None:
    (bad,) = read_import(document(inner)).bad
    assert bad.detail == detail


@pytest.mark.parametrize(
    ("printed", "read_as"),
    [("007", "7"), ("00001000000000000001", "1000000000000001"), ("000", "0"), ("42", "42")],
)
def test_leading_zeros_of_a_bursar_id_do_not_count_in_a_file(printed: str, read_as: str) -> None:
    (paid,) = read_import(document(fine(printed))).lines
    assert paid.bursar_transaction_id == read_as


ONCE = "must be there exactly once"
NUMBERED = "exportNumber, userExportedFineFeesList: must be there"
NUMBER = "<xb:exportNumber>100000000000042</xb:exportNumber>"
SUM = "<xb:sum>95</xb:sum>"
CHANGED = "<xb:lastTransactionDate>09/12/2026 15:22:06 EDT</xb:lastTransactionDate>"
OWNER = "</xb:fineFeeType><xb:owneredEntity><xb:InstitutionId>972</xb:InstitutionId>"


@pytest.mark.parametrize(
    ("printed", "instead", "place"),
    [
        (NUMBER, "", NUMBERED),
        (NUMBER, NUMBER + NUMBER, NUMBERED),
        (SUM, "<xb:sum>0</xb:sum>", "userFineFee 1, sum: must not be zero"),
        (SUM, SUM + SUM, f"userFineFee 1, sum: {ONCE}"),
        ("<xb:patronName>Abel, Ann</xb:patronName>", "", f"patronName: {ONCE}"),
        ("<xb:type>02</xb:type>", "", f"type: {ONCE}"),
        ("<xb:itemTitle/>", "", f"itemTitle: {ONCE}"),
        ("<xb:fineFeeType>OVERDUEFINE</xb:fineFeeType>", "", f"fineFeeType: {ONCE}"),
        (CHANGED, "", f"lastTransactionDate: {ONCE}"),
        (OWNER, OWNER.replace("InstitutionId", "other"), f"InstitutionId: {ONCE}"),
    ],
)
def test_a_document_of_ours_that_lacks_something_is_refused(
    printed: str, instead: str, place: str
) -> None:
    data = render(batch(patron("abel", line(1)))).decode()
    assert data.count(printed) == 1
    with pytest.raises(UnreadableDocument) as raised:
        read(data.replace(printed, instead).encode())
    assert raised.value.fault is Fault.BAD_LINE
    assert str(raised.value) == f"a fine cannot be read ({place})"


def test_an_empty_element_of_a_document_of_ours_is_an_empty_text() -> None:
    data = render(batch(patron("abel", line(1)))).decode()
    closing = "</xb:userFineFee>"
    document_read = read(data.replace(closing, f"<xb:itemBarcode/>{closing}").encode())
    assert document_read.patrons[0].lines[0].texts["item_barcode"] == ""


def test_the_empty_number_and_type_of_a_document_of_ours_are_empty_texts() -> None:
    data = render(batch(patron("abel", line(1)))).decode()
    number = re.sub(r"[0-9]+", "", NUMBER)
    emptied = data.replace(NUMBER, number).replace(">OVERDUEFINE<", "><")
    document_read = read(emptied.encode())
    ((type_, _),) = totals_of_read(document_read).by_type
    assert (document_read.export_number, type_) == ("", "")


def test_an_element_is_emptied_when_the_next_one_is_asked_for() -> None:
    """Or a file of 64 MiB would be in memory as a whole."""
    read_so_far = elements(BytesIO(document(fine("1"), fine("2"))), BYTES_MAX)
    first = next(read_so_far)
    assert len(first) == 2
    next(read_so_far)
    assert len(first) == 0


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE x>" + document(fine()), "has a document type declaration"),
        (b"<html/>", "the root is not xml-fragment of the bursar namespace"),
    ],
)
def test_what_is_wrong_with_a_document_is_said_in_words(data: bytes, text: str) -> None:
    with pytest.raises(UnreadableDocument) as raised:
        read_import(data)
    assert str(raised.value) == text


def test_a_document_has_at_most_64_mebibytes() -> None:
    with pytest.raises(UnreadableDocument) as raised:
        read_import(b" " * (BYTES_MAX + 1))
    assert str(raised.value) == "larger than the limit (at most 67108864 bytes)"


def test_a_fine_of_no_patron_is_refused() -> None:
    data = render(batch(patron("abel", line(1)))).decode()
    end = "</xb:userExportedList>"
    whole = data[data.index("<xb:userFineFee>") : data.index("</xb:finefeeList>")]
    with pytest.raises(UnreadableDocument) as raised:
        read(data.replace(end, whole + end).encode())
    assert str(raised.value) == f"a fine cannot be read ({NUMBERED})"
