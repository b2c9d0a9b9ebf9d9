"""The XSD of the bursar XML against its examples."""

import re
from pathlib import Path

import pytest
from lxml import etree

from tests.contracts import examples

VALID = examples.valid_xml()
INVALID = [path for path in examples.invalid_xml() if path.stem not in examples.XSD_ACCEPTS]
ACCEPTED = [path for path in examples.invalid_xml() if path.stem in examples.XSD_ACCEPTS]


@pytest.fixture(scope="module")
def xsd() -> etree.XMLSchema:
    path = examples.CONTRACTS / "export" / "bursar-export.v1.xsd"
    return etree.XMLSchema(etree.parse(str(path)))


def accepts(xsd: etree.XMLSchema, path: Path) -> bool:
    try:
        tree = etree.parse(str(path))
    except etree.XMLSyntaxError:
        return False
    return bool(xsd.validate(tree))


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_valid_document_is_accepted(xsd: etree.XMLSchema, path: Path) -> None:
    assert accepts(xsd, path), xsd.error_log


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_an_invalid_document_is_refused(xsd: etree.XMLSchema, path: Path) -> None:
    assert not accepts(xsd, path)


@pytest.mark.parametrize("path", ACCEPTED, ids=lambda path: path.stem)
def test_a_document_listed_as_beyond_xsd_is_accepted(xsd: etree.XMLSchema, path: Path) -> None:
    assert accepts(xsd, path), "take it off the list"


def test_every_row_of_the_list_beyond_xsd_has_its_document() -> None:
    assert {path.stem for path in ACCEPTED} == set(examples.XSD_ACCEPTS)


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_valid_document_is_one_line_after_the_declaration_with_the_prefix(path: Path) -> None:
    declaration, newline, line = path.read_text("utf-8").partition("\n")
    assert declaration == '<?xml version="1.0" encoding="UTF-8"?>'
    assert newline
    assert "\n" not in line
    assert not re.search(r">\s+<", line)
    assert not re.search(r"<(?!/?xb:)", line)


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_valid_document_has_the_number_first_and_the_list_second(path: Path) -> None:
    first, second = etree.parse(str(path)).getroot()
    assert [etree.QName(node).localname for node in first] == ["exportNumber"]
    assert [etree.QName(node).localname for node in second] == ["userExportedList"]
