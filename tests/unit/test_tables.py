"""Lists on a terminal of 80 columns and elsewhere: identifiers and numbers stand whole."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

import service.cli
from service.cli.lists import Column, Kind, Listing, Row, identifier, number, sentence, text, word
from service.cli.restore_check import BILLED, billed_row
from service.cli.tables import show, show_card
from service.restore.operators import PublishedManifest

WHOLE = (Kind.ID, Kind.NUMBER)


def value_of(kind: Kind, row: int, place: int) -> str:
    match kind:
        case Kind.ID:
            return f"3f2b8c1e-77aa-4e0b-9d5c-{row:04}0000{place:04}"
        case Kind.NUMBER:
            return f"-{row + 1}{place:03}99999999999.99"
        case Kind.WORD:
            return "credit_unconfirmed"
        case Kind.TEXT:
            return "no such student: " * 9
        case Kind.SENTENCE:
            return "must be above the limit of requests, see `bursar-bridge check` " * 5


def listings() -> Iterator[tuple[str, Listing]]:
    """Every list that a command declares."""
    for walk_package in pkgutil.walk_packages(service.cli.__path__, "service.cli."):
        module = importlib.import_module(walk_package.name)
        for name, value in vars(module).items():
            if isinstance(value, Listing):
                yield f"{walk_package.name.removeprefix('service.cli.')}.{name}", value


LISTINGS = dict(listings())


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Standard output counts as a terminal of 80 columns without colours."""
    for name in ("FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "80")
    return monkeypatch


def rows_of(listing: Listing) -> list[Row]:
    """Three rows in which every column is as long as it comes."""
    return [
        {
            column.name: value_of(column.kind, row, place).strip()
            for place, column in enumerate(listing.columns)
        }
        for row in range(3)
    ]


def shown(
    capsys: pytest.CaptureFixture[str], listing: Listing, rows: list[Row], *, wide: bool = False
) -> list[str]:
    capsys.readouterr()
    show(listing, rows, False, wide=wide)
    return capsys.readouterr().out.splitlines()


def missing(lines: list[str], rows: list[Row], columns: list[Column]) -> list[str]:
    """Identifiers and numbers that no line has whole, as a word of its own."""
    words = {part for line in lines for part in line.split()}
    values = [str(row[column.name]) for row in rows for column in columns if column.kind in WHOLE]
    return [value for value in values if value not in words]


@pytest.mark.parametrize("name", LISTINGS)
@pytest.mark.usefixtures("terminal")
def test_every_list_fits_80_columns_and_breaks_no_id_or_number(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    listing = LISTINGS[name]
    rows = rows_of(listing)
    for wide in (False, True):
        lines = shown(capsys, listing, rows, wide=wide)
        assert [line for line in lines if cell_len(line) > 80] == []
        assert missing(lines, rows, list(listing.columns_of(rows, wide=wide))) == []
    assert list(listing.columns_of(rows, wide=True)) == list(listing.columns)


@pytest.mark.parametrize("name", LISTINGS)
def test_in_a_pipe_a_row_is_a_line_and_nothing_is_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    listing = LISTINGS[name]
    rows = rows_of(listing)
    for wide in (False, True):
        heading, _, *lines = shown(capsys, listing, rows, wide=wide)
        assert len(lines) == len(rows)
        for line, row in zip(lines, rows, strict=True):
            columns = list(listing.columns_of(rows, wide=wide))
            assert [column.name for column in columns if str(row[column.name]) not in line] == []
            assert [column.name for column in columns if column.heading not in heading] == []
        assert "\x1b" not in "".join(lines)


IDS = st.text("0123456789abcdef-", min_size=1, max_size=90)
LIST = Listing(
    "nothing",
    (
        identifier("id"),
        text("comment"),
        number("amount"),
        word("state"),
        sentence("finding"),
        identifier("fine_id"),
        number("size_bytes", wide=True),
    ),
)
ROWS = st.fixed_dictionaries(
    {
        "id": IDS,
        "comment": st.text(max_size=200),
        "amount": st.integers(-(10**17), 10**17),
        "state": st.sampled_from(["open", "waits_for_fine", None]),
        "finding": st.text("abc äöü漢字", max_size=200),
        "fine_id": IDS | st.none(),
        "size_bytes": st.integers(0, 10**6),
    }
)


@given(rows=st.lists(ROWS, min_size=1, max_size=5), width=st.integers(20, 300), wide=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_a_list_holds_its_ids_and_numbers_stand_whole(
    terminal: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rows: list[Row],
    width: int,
    wide: bool,
) -> None:
    terminal.setenv("COLUMNS", str(width))
    lines = shown(capsys, LIST, rows, wide=wide)
    columns = [column for column in LIST.columns_of(rows, wide=wide) if column.kind in WHOLE]
    for row in rows:
        values = [str(row[column.name]) for column in columns if row[column.name] is not None]
        assert [value for value in values if not any(value in line for line in lines)] == []
    assert "\x1b" not in "".join(lines)


@pytest.mark.usefixtures("terminal")
def test_texts_are_cut_before_anything_else_and_whole_with_wide(
    capsys: pytest.CaptureFixture[str],
) -> None:
    listing = Listing("nothing", (identifier("id"), text("comment"), number("amount")))
    rows: list[Row] = [{"id": "F-1", "comment": "漢字 " * 30, "amount": "-5.00"}]
    heading, _, line = shown(capsys, listing, rows)
    assert line.startswith("F-1  漢字")
    assert line.endswith("…   -5.00")
    assert heading.endswith("  amount")
    first, label, *texts = shown(capsys, listing, rows, wide=True)[2:]
    assert (first.split(), label) == (["F-1", "-5.00"], "  comment:")
    assert " ".join(part.strip() for part in texts) == ("漢字 " * 30).strip()


@pytest.mark.usefixtures("terminal")
def test_the_place_of_a_record_is_shown_where_it_has_no_id(
    capsys: pytest.CaptureFixture[str],
) -> None:
    listing = LISTINGS["rejected.REJECTED"]
    place: Row = {"topic": "library.fine-created.v1", "partition": 3, "offset": 17}
    named, nameless = {"id": "F-1", **place}, {"id": None, **place}
    assert shown(capsys, listing, [named])[0].split() == ["id"]
    assert "library.fine-created.v1  3          17" in shown(capsys, listing, [nameless])[2]


@pytest.mark.usefixtures("terminal")
def test_batches_that_were_billed_show_their_instant_as_all_lists_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    manifest = {
        "profile": "SIS",
        "batch_number": 1,
        "sealed_at": "2026-09-01T12:00:00.123456+00:00",
    }
    row = billed_row(PublishedManifest(manifest, is_known=True))
    (*_, line) = shown(capsys, BILLED, [row])
    assert line.split() == ["SIS", "1", "yes", "2026-09-01T12:00:00Z"]


def test_an_empty_list_says_so_and_programs_get_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert shown(capsys, LIST, []) == ["nothing"]
    show(LIST, [], True)
    assert capsys.readouterr().out == ""


def test_programs_get_the_rows_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"id": "F-1", "comment": None, "amount": "-5.00", "what": "fine"}
    show(LIST, [row], True)
    assert json.loads(capsys.readouterr().out) == row


def test_a_member_that_no_column_declares_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="shoe_size"):
        show(LIST, [{"id": "F-1", "shoe_size": 46}], False)


LONG_ID = "0123456789" * 8  # as wide as the terminal


@pytest.mark.usefixtures("terminal")
def test_a_card_gives_an_id_as_wide_as_the_terminal_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Behind the name of its member it would be broken at the edge."""
    row: Row = {
        "fine_id": LONG_ID,
        "in_words": f"the fine {LONG_ID} is held back",
        "failed_changes": [{"change_id": LONG_ID[:70]}, {"change_id": "C-2"}],
    }
    show_card(row, False)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "fine id",
        LONG_ID,
        "in words        the fine",
        LONG_ID,
        "                is held back",
        "failed changes  change id:",
        "          " + LONG_ID[:70],
        "                change id: C-2",
    ]


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("wide", [False, True])
def test_a_list_breaks_no_id_that_is_as_wide_as_the_terminal(
    capsys: pytest.CaptureFixture[str], wide: bool
) -> None:
    """Neither in a column nor within a sentence."""
    listing = Listing(
        "nothing", (word("state"), identifier("id"), sentence("in_words"), number("amount"))
    )
    rows: list[Row] = [
        {
            "state": "parked",
            "id": LONG_ID,
            "in_words": f"5.00 of {LONG_ID} is paid",
            "amount": "5.00",
        }
    ]
    lines = shown(capsys, listing, rows, wide=wide)
    assert [line for line in lines if cell_len(line) > 80] == []
    assert sum(LONG_ID in line for line in lines) == 2


@pytest.mark.usefixtures("terminal")
def test_a_card_folds_texts_and_keeps_ids(capsys: pytest.CaptureFixture[str]) -> None:
    row: Row = {
        "id": "P" * 100,
        "detail": value_of(Kind.TEXT, 0, 0).strip(),
        "refused_reason": None,
        "headers": ["ce_id: 1", "\x1b[2J"],
        "decisions": [{"action": "release", "reason": value_of(Kind.TEXT, 0, 0).strip()}],
    }
    show_card(row, False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["id", "P" * 100]
    assert [line for line in lines[2:] if cell_len(line) > 80] == []
    assert "headers    ce_id: 1" in lines
    assert r"           \x1b[2J" in lines
    assert " ".join(line[11:] for line in lines if "decisions" in line).startswith("action: rel")
    assert not any("refused" in line for line in lines)
