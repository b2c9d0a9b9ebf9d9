"""Batch values: their order, their file name, how a run is cut."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.ledger import Item, Owner
from service.export.batch import (
    DOCUMENT_BYTES,
    Batch,
    BatchPatron,
    InvalidBatch,
    Limits,
    SelectedFine,
    clean,
    file_name,
    ordered,
    size_bytes_max,
)
from service.export.xml.write import render
from tests.golden.batches import any_batch, any_text, batch, line, patron
from tests.support.batches import cut

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_fines_without_an_item_come_first_then_by_fine_id_in_byte_order() -> None:
    lines = (
        line(1, fine_id="b", item=Item("t")),
        line(2, fine_id="é"),
        line(3, fine_id="Z"),
        line(4, fine_id="a"),
        line(5, fine_id="a", item=Item("t")),
    )
    (only,) = ordered([patron("p", *lines)])
    assert [(item.fine_id, bool(item.item)) for item in only.lines] == [
        ("Z", False),
        ("a", False),
        ("é", False),
        ("a", True),
        ("b", True),
    ]


@given(st.lists(st.text(min_size=1, max_size=5), unique=True))
def test_patrons_are_in_the_byte_order_of_their_ids(ids: list[str]) -> None:
    patrons = ordered(BatchPatron(item, "02", "1", "A, B", (line(1),)) for item in ids)
    assert [item.patron_id.encode() for item in patrons] == sorted(item.encode() for item in ids)


def test_a_batch_out_of_order_is_a_bug_of_its_maker() -> None:
    patrons = (patron("b", line(1)), patron("a", line(2)))
    with pytest.raises(InvalidBatch, match="patrons: must be in order"):
        batch(patrons=patrons)


def test_a_batch_has_no_bursar_transaction_id_twice() -> None:
    with pytest.raises(InvalidBatch, match="unique in the batch"):
        batch(patron("a", line(1)), patron("b", line(1)))


@pytest.mark.parametrize("number", [99_999_999_999_999, 10**15, 0])
def test_an_export_number_has_exactly_15_digits(number: int) -> None:
    with pytest.raises(InvalidBatch, match="export_number"):
        batch(export_number=number)


@pytest.mark.parametrize("line_id", ["0", "007", "", "-1", str(2**64), "1a", "٣"])
def test_a_bursar_transaction_id_is_an_unsigned_number_without_leading_zero(line_id: str) -> None:
    with pytest.raises(InvalidBatch, match="bursar_transaction_id") as raised:
        line(1, bursar_transaction_id=line_id)
    assert raised.value.field == "bursar_transaction_id"


def test_the_largest_bursar_transaction_id_is_2_to_the_64_less_1() -> None:
    assert line(1, bursar_transaction_id=str(2**64 - 1)).bursar_transaction_id == str(2**64 - 1)


def test_a_line_is_never_zero_and_knows_its_instant() -> None:
    with pytest.raises(InvalidBatch, match="amount"):
        line(1, 0)
    with pytest.raises(InvalidBatch, match="last_transaction_at"):
        line(1, last_transaction_at=NOON.replace(tzinfo=None))


@pytest.mark.parametrize("text", ["", " ", "\x00\n"])
def test_a_patron_has_a_name_and_an_identifier(text: str) -> None:
    with pytest.raises(InvalidBatch, match="name"):
        BatchPatron("p", "02", "1", text, (line(1),))
    with pytest.raises(InvalidBatch, match="match_value"):
        BatchPatron("p", "02", text, "A, B", (line(1),))


def test_a_file_name_ends_in_whole_milliseconds_of_the_cutoff() -> None:
    cutoff = datetime(2026, 9, 12, 19, 30, 0, 250_999, tzinfo=UTC)
    assert file_name("p_1", 100_000_000_000_042, cutoff) == (
        "p_1-100000000000042-1789241400250.xml"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\r\nb", "a b"),
        ("a\nb\rc\td", "a b c d"),
        ("a\x00b\x1fc\x7fd\x85e", "a b c d e"),
        ("a\u2028b\u2029c", "a b c"),
        ("a\ud800b\ufffec\uffffd", "a b c d"),
        ("é 𝄞 & < > \"'", "é 𝄞 & < > \"'"),
        ("  two  blanks ", "  two  blanks "),
    ],
)
def test_what_the_format_cannot_carry_becomes_one_blank(text: str, expected: str) -> None:
    assert clean(text) == expected


def test_all_that_python_can_print_is_printed_as_it_is() -> None:
    printable = "".join(filter(str.isprintable, map(chr, range(0x110000))))
    assert clean("\n" + printable) == " " + printable


@given(any_text())
def test_a_cleaned_text_is_clean(text: str) -> None:
    assert clean(clean(text)) == clean(text)


def sized(*patrons: tuple[str, Sequence[int]]) -> list[SelectedFine]:
    return [
        SelectedFine((who, f"{who}{n}"), size)
        for who, sizes in patrons
        for n, size in enumerate(sizes)
    ]


def fine_ids(batches: Sequence[Sequence[SelectedFine]]) -> list[list[str]]:
    return [[fine.position[1] for fine in part] for part in batches]


ROOMY = 10**9


@pytest.mark.parametrize(
    ("sentence", "given_", "limits", "expected"),
    [
        ("nothing is no batch", sized(), Limits(2, ROOMY), []),
        ("a full batch is one", sized(("a", [1]), ("b", [1])), Limits(2, ROOMY), [["a0", "b0"]]),
        (
            "a patron who does not fit any more goes into the next",
            sized(("a", [1]), ("b", [1, 1])),
            Limits(2, ROOMY),
            [["a0"], ["b0", "b1"]],
        ),
        (
            "a patron too many for any batch begins one and the rest shares its last",
            sized(("a", [1]), ("b", [1] * 5), ("c", [1])),
            Limits(2, ROOMY),
            [["a0"], ["b0", "b1"], ["b2", "b3"], ["b4", "c0"]],
        ),
        (
            "bytes count, the document's own included",
            sized(("a", [50]), ("b", [50]), ("c", [1])),
            Limits(100, 100 + DOCUMENT_BYTES),
            [["a0", "b0"], ["c0"]],
        ),
        (
            "a fine too large for any batch has its own",
            sized(("a", [1]), ("b", [999]), ("c", [1])),
            Limits(100, 100 + DOCUMENT_BYTES),
            [["a0"], ["b0"], ["c0"]],
        ),
    ],
)
def test_a_run_is_cut(
    sentence: str, given_: list[SelectedFine], limits: Limits, expected: list[list[str]]
) -> None:
    assert fine_ids(list(cut(given_, limits))) == expected, sentence


_runs = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.lists(st.integers(1, 40), min_size=1, max_size=6)),
    unique_by=lambda pair: pair[0],
).map(lambda patrons: sized(*sorted(patrons)))
_limits = st.builds(Limits, st.integers(1, 5), st.integers(40, 100).map(DOCUMENT_BYTES.__add__))


@given(_runs, _limits)
def test_a_cut_run_loses_nothing_keeps_its_order_and_the_limits(
    run: list[SelectedFine], limits: Limits
) -> None:
    batches = list(cut(run, limits))
    assert [item for part in batches for item in part] == run
    assert all(limits.allow(len(part), sum(item.size_bytes for item in part)) for part in batches)


@given(_runs, _limits)
def test_a_patron_is_divided_only_if_he_alone_exceeds_the_limits(
    run: list[SelectedFine], limits: Limits
) -> None:
    batches = list(cut(run, limits))
    for who, group in groupby(run, key=lambda item: item.position[0]):
        fines = list(group)
        parts = sum(any(item.position[0] == who for item in part) for part in batches)
        if limits.allow(len(fines), sum(fine.size_bytes for fine in fines)):
            assert parts == 1


@given(_runs, _limits)
def test_what_a_run_that_died_has_left_is_cut_as_the_whole_would_have_been(
    run: list[SelectedFine], limits: Limits
) -> None:
    batches = list(cut(run, limits))
    for done in range(len(batches)):
        left = run[sum(len(part) for part in batches[:done]) :]
        assert list(cut(left, limits)) == batches[done:]


@given(any_batch())
def test_a_document_is_never_larger_than_its_fines_were_taken_for(drawn: Batch) -> None:
    taken_for = sum(size_bytes_max(who, item) for who in drawn.patrons for item in who.lines)
    assert len(render(drawn)) <= DOCUMENT_BYTES + taken_for


def test_the_largest_markup_of_a_fine_is_foreseen_and_not_by_far_too_much() -> None:
    largest = line(
        1,
        -(10**10) + 1,
        bursar_transaction_id=str(2**64 - 1),
        owner=Owner("1", "m", "x"),
        item=Item("t", "t", "t", "t", "t", None, "t"),  # a nil takes more than a date
    )
    who = patron("a", largest)
    size_bytes = len(render(batch(who, institution_id="9" * 10)))
    foreseen = DOCUMENT_BYTES + size_bytes_max(who, largest)
    assert size_bytes <= foreseen <= size_bytes + 500
