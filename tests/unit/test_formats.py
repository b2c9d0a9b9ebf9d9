"""CSV and fixed width: every text comes back, totals are the manifest's, nothing is cut unasked."""

from __future__ import annotations

import csv
import io
import json
import sys
import unicodedata
from pathlib import Path

import orjson
import pytest
from hypothesis import given

from service.core.money import format_minor
from service.export.batch import Batch, CreditRef
from service.export.formats import Format, XmlFormat, printed_as
from service.export.formats.csv_format import COLUMNS, CsvFormat, neutralised, original
from service.export.formats.fixed_width import FixedWidth
from service.export.formats.layout import Layout, read_layout
from service.export.formats.table import BATCH_FIELDS, LINE_FIELDS, NotPrintable, Table, table_of
from service.export.publish import manifest_members
from service.export.xml.proof import prove
from service.export.xml.write import render
from service.runtime.problems import OperatorError
from tests.golden.batches import any_batch, any_text, batch, golden_batches, line, patron
from tests.support.batches import manifest_in_run

Sealed = tuple[bytes, dict[str, object]]

LAYOUT = """
amounts = "cents"
too_long = "cut"
header = [{ text = "H", length = 1 }, { field = "export_number", length = 15 },
          { field = "count", length = 6, align = "right", pad = "0" },
          { field = "total", length = 15, align = "right", pad = "0" }]
line = [{ text = "D", length = 1 },
        { field = "bursar_transaction_id", length = 20, align = "right", pad = "0" },
        { field = "patron_name", length = 12 },
        { field = "amount", length = 12, align = "right", pad = "0" }]
trailer = [{ text = "T", length = 1 }, { field = "count", length = 6, align = "right", pad = "0" },
           { field = "total", length = 15, align = "right", pad = "0" }]
"""


def sealed(of: Batch) -> Sealed:
    document = render(of)
    members = manifest_members(manifest_in_run(of, document, prove(of, document)))
    return document, json.loads(orjson.dumps(members))


def layout_of(text: str, folder: Path) -> Layout:
    path = folder / "layout.toml"
    path.write_text(text, "utf-8")
    return read_layout(path)


@given(any_batch())
def test_csv_read_back_is_the_batch(of: Batch) -> None:
    document, manifest = sealed(of)
    table = table_of(document, manifest)
    data = printed_as(CsvFormat(), document, manifest)
    assert CsvFormat().read(data, of.currency) == table.rows


@given(any_batch())
def test_fixed_width_carries_the_ids_and_sums_of_any_batch(of: Batch) -> None:
    place = {"field": "bursar_transaction_id", "length": 20, "align": "right", "pad": "0"}
    amount = {"field": "amount", "length": 16, "align": "right", "pad": "0"}
    frame = [{"field": "total", "length": 20, "align": "right"}, {"field": "count", "length": 4}]
    name = {"field": "patron_name", "length": 5, "too_long": "cut"}
    for amounts in ("cents", "decimals"):
        shape = Layout.model_validate(
            {"amounts": amounts, "line": [place, name, amount], "header": frame, "trailer": frame}
        )
        document, manifest = sealed(of)
        form = FixedWidth(shape)
        rows = form.read(printed_as(form, document, manifest), of.currency)
        result = [(row.texts["bursar_transaction_id"], row.amount) for row in rows]
        expected = [
            (item.bursar_transaction_id, item.amount) for who in of.patrons for item in who.lines
        ]
        assert result == expected


@given(any_text())
def test_a_text_is_neutralised_and_comes_back(text: str) -> None:
    assert not neutralised(text).startswith(tuple("=+-@\t\r"))
    assert original(neutralised(text)) == text


FORMULAS = ["=1+1", "+1", "-1", "@a", "\tx", "\rx", "'=1", "''@x"]
WIDE_FORMULAS = ["\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20a", "'\uff1d1", "\u22121", "\n=1"]


@pytest.mark.parametrize("text", FORMULAS + WIDE_FORMULAS)
def test_formulas_get_one_apostrophe_more(text: str) -> None:
    assert neutralised(text) == f"'{text}"
    assert original(neutralised(text)) == text


def test_every_form_of_a_sign_is_neutralised() -> None:
    """Whatever Unicode's compatibility mapping makes a sign of: so do spreadsheets."""
    forms = [
        character
        for character in map(chr, (*range(0xD800), *range(0xE000, sys.maxunicode + 1)))
        if unicodedata.normalize("NFKC", character) in ("=", "+", "-", "@", "\u2212")
    ]
    assert len(forms) > 16
    assert [form for form in forms if neutralised(form) != f"'{form}"] == []


def test_csv_is_rfc_4180_with_plain_amounts_and_the_fine_a_credit_refers_to() -> None:
    ref = CreditRef("15000042421", "LOST ITEM")
    credit = line(1, -3_25, type="CREDIT", comment='=ref 1 A "x", ref', credit_ref=ref)
    data = printed_as(CsvFormat(), *sealed(batch(patron("abel", credit))))
    assert data.count(b"\r\n") == data.count(b"\n") == 2
    header, row = csv.reader(io.StringIO(data.decode(), newline=""))
    assert header == [*BATCH_FIELDS, *LINE_FIELDS]
    result = dict(zip(header, row, strict=True))
    assert result["amount"] == "-3.25"
    assert result["fine_id"] == "fine-001"
    assert result["comment"] == '\'=ref 1 A "x", ref ref 15000042421 LOST ITEM'
    assert result["credit_of_bursar_transaction_id"] == "15000042421"
    assert result["credit_of_type"] == "LOST ITEM"


@pytest.mark.parametrize("text", ["ref 12 A", "see ref 12 A, ref 13 B", "ref 12 ref 13 ref"])
def test_a_credits_own_words_of_a_reference_are_not_taken_for_the_one_behind_them(
    text: str,
) -> None:
    ref = CreditRef("15000042421", "OVERDUEFINE")
    credit = line(1, -3_25, type="CREDIT", comment=text, credit_ref=ref)
    (row,) = table_of(*sealed(batch(patron("abel", credit)))).rows
    assert row.texts["credit_of_bursar_transaction_id"] == "15000042421"
    assert row.texts["credit_of_type"] == "OVERDUEFINE"


def test_a_fine_with_the_words_of_a_reference_refers_to_nothing() -> None:
    (row,) = table_of(*sealed(batch(patron("abel", line(1, comment="ref 12 A"))))).rows
    assert row.texts["credit_of_bursar_transaction_id"] == ""


@pytest.mark.parametrize("form", [CsvFormat(), XmlFormat()])
@pytest.mark.parametrize("name", golden_batches())
def test_each_golden_batch_adds_up_in_each_format(form: Format, name: str) -> None:
    of = golden_batches()[name]
    document, manifest = sealed(of)
    rows = form.read(printed_as(form, document, manifest), of.currency)
    assert format_minor(sum(row.amount for row in rows), of.currency) == manifest["total"]
    assert len(rows) == manifest["count"]


def test_a_manifest_that_says_otherwise_prints_nothing() -> None:
    document, manifest = sealed(batch(patron("abel", line(1))))
    with pytest.raises(NotPrintable, match="total"):
        printed_as(CsvFormat(), document, {**manifest, "total": "95.01"})


def test_a_format_that_loses_a_unit_is_noticed() -> None:
    class Loses(CsvFormat):
        def render(self, table: Table) -> bytes:
            return super().render(table).replace(b"95.00", b"94.99")

    with pytest.raises(NotPrintable, match="total, debits"):
        printed_as(Loses(), *sealed(batch(patron("abel", line(1)))))


def test_fixed_width_pads_cuts_and_frames(tmp_path: Path) -> None:
    form = FixedWidth(layout_of(LAYOUT, tmp_path))
    lines = (line(1, 95_00), line(2, -3_25, type="CREDIT"))
    data = printed_as(form, *sealed(batch(patron("maximiliane", *lines))))
    assert data.decode().split("\r\n") == [
        "H100000000000042000002000000000009175",
        "D00000000015000040012Maximiliane,000000009500",
        "D00000000015000040029Maximiliane,-00000000325",
        "T000002000000000009175",
        "",
    ]


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ('"amount", length = 12', '"amount", length = 3', "amount"),
        ('"patron_name", length = 12', '"patron_name", length = 4, too_long = "refuse"', "patron"),
        ('"bursar_transaction_id", length = 20', '"bursar_transaction_id", length = 5', "bursar"),
        ('"total", length = 15', '"total", length = 2', "total"),
    ],
)
def test_what_must_not_be_cut_is_refused(
    tmp_path: Path, before: str, after: str, field: str
) -> None:
    form = FixedWidth(layout_of(LAYOUT.replace(before, after), tmp_path))
    with pytest.raises(NotPrintable, match=field):
        printed_as(form, *sealed(batch(patron("abel", line(1)))))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("line = [", "must be TOML"),
        (f"line = {'[' * 10_000}", "is nested too deep"),
        (LAYOUT + "colour = 1", "colour"),
        (LAYOUT.replace('"amount"', '"comment"'), "must have amount"),
        (LAYOUT.replace('"patron_name"', '"patron"'), "must be one of"),
        (LAYOUT.replace('"patron_name"', '"amount"'), "no field may stand twice"),
        (LAYOUT.replace('{ text = "D", length = 1 }', "{ length = 1 }"), "either field or text"),
    ],
)
def test_a_layout_with_a_fault_is_refused_by_name(tmp_path: Path, text: str, rule: str) -> None:
    with pytest.raises(OperatorError, match=rule):
        layout_of(text, tmp_path)


def test_a_character_the_encoding_lacks_is_refused_or_replaced_as_told(tmp_path: Path) -> None:
    of = sealed(batch(patron("łukasz", line(1))))
    ascii_only = 'encoding = "ascii"\n' + LAYOUT
    with pytest.raises(NotPrintable, match="encoding"):
        printed_as(FixedWidth(layout_of(ascii_only, tmp_path)), *of)
    replaced = 'unencodable = "replace"\n' + ascii_only
    assert b"?ukasz, Ann" in printed_as(FixedWidth(layout_of(replaced, tmp_path)), *of)


@pytest.mark.parametrize("field", ["match_value", "fine_id"])
def test_an_id_that_would_be_another_with_a_character_replaced_is_refused(
    tmp_path: Path, field: str
) -> None:
    ours = line(1, fine_id="łódź-1")
    of = sealed(batch(patron("abel", ours, match=("02", "łódź-1"))))
    layout = 'encoding = "latin-1"\nunencodable = "replace"\n' + LAYOUT
    layout = layout.replace('field = "patron_name", length = 12', f'field = "{field}", length = 12')
    with pytest.raises(NotPrintable, match=f"{field}: a character is not in latin-1"):
        printed_as(FixedWidth(layout_of(layout, tmp_path)), *of)


GUIDE = Path(__file__).parents[2] / "docs" / "consumer-guide.md"


def test_the_guide_names_the_columns_in_their_order() -> None:
    result = GUIDE.read_text("utf-8").split("<!-- columns -->")[1].split("<!-- /columns -->")[0]
    assert result.replace("`", "").replace(",", " ").split() == list(COLUMNS)


def test_the_guides_layout_is_one(tmp_path: Path) -> None:
    text = GUIDE.read_text("utf-8").split("```toml\n")[1].split("```")[0]
    document, manifest = sealed(golden_batches()["full.xml"])
    form = FixedWidth(layout_of(text, tmp_path))
    records = printed_as(form, document, manifest).decode("latin-1").split("\r\n")
    assert [record[0] for record in records[:-1]] == ["H", "D", "D", "D", "D", "T"]
    assert records[-1] == ""
