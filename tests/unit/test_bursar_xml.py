"""Writing the bursar XML: exact bytes, and every rule a reader in the field depends on."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given

from service.export.batch import Batch
from service.export.xml.proof import validate
from service.export.xml.stream import UnreadableDocument
from service.export.xml.write import printed_sum, printed_time, render
from tests.golden.batches import (
    GOLDEN,
    MAIN,
    any_batch,
    batch,
    golden_batches,
    line,
    patron,
)


@pytest.mark.parametrize("name", sorted(golden_batches()))
def test_a_batch_is_printed_byte_for_byte_as_its_golden_file(name: str) -> None:
    assert render(golden_batches()[name]) == (GOLDEN / name).read_bytes()


@pytest.mark.parametrize("name", sorted(golden_batches()))
def test_a_golden_file_is_valid_against_the_released_schema(name: str) -> None:
    validate((GOLDEN / name).read_bytes())


@given(any_batch())
def test_any_text_is_printed_as_a_valid_document(drawn: Batch) -> None:
    validate(render(drawn))


@given(any_batch())
def test_the_document_is_one_line_after_the_declaration(drawn: Batch) -> None:
    declaration, *rest = render(drawn).decode().split("\n")
    assert declaration == '<?xml version="1.0" encoding="UTF-8"?>'
    assert len(rest) == 1
    assert not re.search(r">\s+<(?!/)", rest[0])


def test_every_element_has_the_literal_prefix_and_one_namespace_declaration() -> None:
    text = render(golden_batches()["full.xml"]).decode()
    assert set(re.findall(r"</?(\w+):", text)) == {"xb"}
    assert text.count("xmlns:xb=") == 1


def test_the_number_and_the_list_are_two_siblings_in_this_order() -> None:
    text = render(batch()).decode()
    number = "<xb:exportNumber>100000000000042</xb:exportNumber>"
    assert text.endswith(
        f"<xb:userExportedFineFees>{number}</xb:userExportedFineFees>"
        "<xb:userExportedFineFees><xb:userExportedList/></xb:userExportedFineFees>"
        "</xb:xml-fragment>"
    )


def test_nil_is_declared_on_the_element_itself() -> None:
    text = render(batch(patron("a", line(1)))).decode()
    nil = 'xsi:nil="true" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"/>'
    assert f"<xb:vat {nil}" in text
    assert f"<xb:fineFeeComment {nil}" in text


def test_a_text_that_looks_like_markup_stays_a_text() -> None:
    hostile = ' xmlns:xsi="x" xsi:nil="true"></xb:vat><xb:sum>1</xb:sum>]]>&amp;'
    text = render(batch(patron("a", line(1, comment=hostile)))).decode()
    assert text.count("<xb:sum>") == 1
    assert "]]&gt;&amp;amp;" in text


def test_a_fine_of_the_institution_has_no_library_elements() -> None:
    text = render(batch(patron("a", line(1)))).decode()
    assert "<xb:owneredEntity><xb:InstitutionId>972</xb:InstitutionId></xb:owneredEntity>" in text
    assert "library" not in text.lower().replace("itemlibrary", "")


def test_a_fine_of_a_library_names_id_and_code() -> None:
    text = render(batch(patron("a", line(1, owner=MAIN)))).decode()
    assert "<xb:libraryId>11111</xb:libraryId><xb:libraryCode>MAIN</xb:libraryCode>" in text


def test_a_fine_without_an_item_has_an_empty_title_and_nothing_else_of_an_item() -> None:
    text = render(batch(patron("a", line(1)))).decode()
    assert set(re.findall(r"<xb:(item\w+)", text)) == {"itemTitle"}
    assert "<xb:itemTitle/>" in text


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        (300_00, "USD", "300"),
        (95_50, "USD", "95.5"),
        (-3_25, "USD", "-3.25"),
        (1, "USD", "0.01"),
        (10_00, "USD", "10"),
        (100_000_000_000, "USD", "1000000000"),
        (300, "JPY", "300"),
        (-100, "JPY", "-100"),
        (1_250, "KWD", "1.25"),
        (1_000, "KWD", "1"),
    ],
)
def test_a_sum_has_no_trailing_zeros_and_loses_none_before_the_point(
    amount: int, currency: str, expected: str
) -> None:
    assert printed_sum(amount, currency) == expected


@pytest.mark.parametrize(
    ("instant", "zone", "expected"),
    [
        ("2026-01-12T20:22:06", "America/New_York", "01/12/2026 15:22:06 EST"),
        ("2026-09-12T19:22:06", "America/New_York", "09/12/2026 15:22:06 EDT"),
        ("2026-03-08T06:59:59", "America/New_York", "03/08/2026 01:59:59 EST"),
        ("2026-03-08T07:00:00", "America/New_York", "03/08/2026 03:00:00 EDT"),
        ("2026-11-01T05:30:00", "America/New_York", "11/01/2026 01:30:00 EDT"),
        ("2026-11-01T06:30:00", "America/New_York", "11/01/2026 01:30:00 EST"),
        ("2026-07-01T22:30:00", "Europe/Vienna", "07/02/2026 00:30:00 CEST"),
        ("2026-07-01T22:30:00", "Europe/Istanbul", "07/01/2026 22:30:00 UTC"),
        ("2026-07-01T22:30:00", "America/Sao_Paulo", "07/01/2026 22:30:00 UTC"),
        ("2026-07-01T22:30:00", "UTC", "07/01/2026 22:30:00 UTC"),
        ("0001-01-01T00:00:00", "America/New_York", "01/01/0001 00:00:00 UTC"),
    ],
)
def test_a_time_is_printed_in_the_zone_with_an_abbreviation_of_letters(
    instant: str, zone: str, expected: str
) -> None:
    assert printed_time(datetime.fromisoformat(instant).replace(tzinfo=UTC), zone) == expected


def test_an_invalid_document_is_refused_with_place_and_rule_and_without_the_value() -> None:
    document = (GOLDEN / "full.xml").read_bytes().replace(b">95.5<", b">secret<")
    with pytest.raises(UnreadableDocument, match=r"sum.*SCHEMAV_CVC") as raised:
        validate(document)
    assert "secret" not in str(raised.value)
