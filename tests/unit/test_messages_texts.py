"""Free texts of a record as core values: cleaned, cut, never a fault (contracts.md, 1)."""

from dataclasses import replace
from random import Random
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.events import BursarPayment, ExportResponse, FineCreated
from service.messages.texts import WHITE_SPACE, clean
from tests.oracle.texts import cleaned
from tests.support.inputs import bursar_payment, export_response, fine_created
from tests.support.reading import (
    change,
    fine,
    patron,
    payment,
    read,
    rejection,
    response,
    with_character,
)
from tests.support.respelled import respelled

# --- free texts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "read_as"),
    [
        ("\u0098Der\u009c Prozess /", "Der Prozess /"),
        ("\u0088Die\u0089 Verwandlung", "Die Verwandlung"),
        ("Title\u000cpart\u001f2", "Title part 2"),
        ("\u05d4\u05de\u05e9\u05e4\u05d8\u200f", "\u05d4\u05de\u05e9\u05e4\u05d8"),
        ("\u0627\u0644 (\u200e1925\u200e)", "\u0627\u0644 (1925)"),
        ("\u202b\u06a9\u0627\u0641\u06a9\u0627\u202c", "\u06a9\u0627\u0641\u06a9\u0627"),
        ("a\tb\nc\rd\r\ne", "a b c d e"),
        ("a \u00a0\u2003\u3000\u2028\x00\x85 b", "a b"),
        ("a\x07\ufffe\ufdd0\U0001fffeb", "a b"),
        ("\u00c5ngstro\u0308m", "\u00c5ngstr\u00f6m"),
        ("e\u200e\u0301", "\u00e9"),
        ("e\x00\u0301", "e \u0301"),
        ("\u0628\u0646\u062a", "\u0628\u0646\u062a"),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        ),
        (
            "\u00ad\u200b\ue000 \U0001f469\u200d\U0001f52c",
            "\u00ad\u200b\ue000 \U0001f469\u200d\U0001f52c",
        ),
        ("a\u0378b", "a\u0378b"),
        ("  a  ", "a"),
        ("\U0001f600" * 3, "\U0001f600" * 3),
    ],
)
def test_a_text_is_cleaned(sent: str, read_as: str) -> None:
    event = fine(comment=sent, item={"title": sent}, patron=patron(name=sent))
    assert event.facts.item is not None
    assert event.facts.comment == event.facts.item.title == event.patron.name == read_as
    assert payment(comment=sent).comment == change(reason=sent).reason == read_as
    assert event.cuts == ()


@pytest.mark.parametrize("character", [chr(0xD800), chr(0xDFFF), "\uffff"], ids=ascii)
def test_a_lone_surrogate_becomes_a_blank(character: str) -> None:
    for sent, read_as in (("a%b", "a b"), ("a%% %b", "a b"), ("%", None)):
        result = with_character("bursar-payment.v1", bursar_payment(comment=sent), character)
        expected = replace(payment(comment=read_as), origin=result.origin, is_new_form=True)
        assert result == expected


@pytest.mark.parametrize("sent", ["", " ", "\u200f", "\u0098\u009c", " \t\u00a0\x00", "\ufffe"])
def test_a_text_of_which_nothing_is_left_is_absent_and_a_title_or_a_name_is_empty(
    sent: str,
) -> None:
    names = ("call_number", "library", "location", "internal_location", "barcode")
    owner = {"library_id": "1", "library_code": "M", "library_name": sent}
    event = fine(
        comment=sent,
        patron=patron(name=sent),
        owner=owner,
        item={"title": sent, **dict.fromkeys(names, sent)},
    )
    facts = event.facts
    assert facts.item is not None
    assert facts.owner is not None
    assert facts.comment is None
    assert [getattr(facts.item, name) for name in names] == [None] * 5
    assert (facts.item.title, facts.owner.library_name, event.patron.name) == ("", "", "")
    assert (change(reason=sent).reason, change(comment=sent).comment) == (None, None)
    assert payment(comment=sent).comment is None
    assert response(reason=sent).reason is None


def test_a_text_that_is_too_long_is_cut_and_the_cut_is_noted() -> None:
    owner = {"library_id": "1", "library_code": "M", "library_name": "n" * 301}
    names = ("call_number", "library", "location", "internal_location", "barcode")
    event = fine(
        comment="c" * 2_001,
        patron=patron(name="p" * 301),
        owner=owner,
        item={"title": "t" * 1_200, **dict.fromkeys(names, "i" * 301)},
    )
    facts = event.facts
    assert facts.item is not None
    assert facts.owner is not None
    assert (facts.comment, facts.item.title) == ("c" * 2_000, "t" * 1_000)
    assert (facts.owner.library_name, event.patron.name) == ("n" * 300, "p" * 300)
    assert [getattr(facts.item, name) for name in names] == ["i" * 300] * 5
    assert sorted(event.cuts) == sorted(
        ["comment", "patron.name", "owner.library_name", "item.title"]
        + [f"item.{name}" for name in names]
    )
    assert change(reason="r" * 501).reason == "r" * 500
    assert change(reason="r" * 501).cuts == ("reason",)
    lines = [{"bursar_transaction_id": "42", "reason": "r" * 501}]
    answer = response(outcome="partial", refused_lines=lines)
    assert answer.refused_lines == (("42", "r" * 500),)
    assert answer.cuts == ("refused_lines.reason",)


@pytest.mark.parametrize(
    ("sent", "read_as", "is_cut"),
    [
        ("x" * 500, "x" * 500, False),
        ("x" * 499 + " y", "x" * 499, True),
        (" " + "x" * 500, "x" * 499, True),  # the contract cuts before it trims
        ("x" * 498 + "  " + "y", "x" * 498 + " y", False),
        ("e\u0301" * 500, "\u00e9" * 500, False),
        ("\ufb2c" * 200, normalize("NFC", "\ufb2c" * 200)[:500], True),  # grows in NFC
        ("\U0001f600" * 501, "\U0001f600" * 500, True),
        ("\u200e" * 400 + "x" * 300, "x" * 300, False),
    ],
)
def test_a_text_is_cut_after_it_was_cleaned_and_before_it_is_trimmed(
    sent: str, read_as: str, is_cut: bool
) -> None:
    result = change(reason=sent)
    assert (result.reason, result.cuts) == (read_as, ("reason",) if is_cut else ())


ODD = "\u0088\u0089\u0098\u009c\u061c\u200e\u200f\u202a\u202e\u2066\u2069\ud800\udfff\ufdd0\uffff"
TEXTS = st.text(
    st.characters() | st.sampled_from([*ODD, *WHITE_SPACE, *"\x00\x1c\x7fa\u0301\u0338"]),
    max_size=40,
)


@given(TEXTS, st.integers(1, 40))
def test_cleaning_is_what_the_contract_says_and_cleaning_twice_is_cleaning_once(
    sent: str, characters_max: int
) -> None:
    once = clean(sent)[:characters_max].strip(" ")
    assert once == cleaned(sent, characters_max)
    assert clean(once) == once == cleaned(once, characters_max)
    assert once == normalize("NFC", once)


@given(TEXTS)
def test_no_text_refuses_a_record_and_its_content_is_the_cleaned_text(sent: str) -> None:
    result = with_character("bursar-payment.v1", bursar_payment(comment="a%b"), sent)
    # The parser has replaced lone surrogates, between which a text may be put together otherwise.
    sent = sent.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "surrogatepass")
    expected = payment(comment=cleaned(f"a{sent}b", 2_000))
    assert isinstance(result, BursarPayment)
    assert (result.comment, result.digest) == (expected.comment, expected.digest)


@given(st.randoms(use_true_random=False))
def test_a_record_that_is_written_otherwise_has_the_same_content(random: Random) -> None:
    lines = [{"bursar_transaction_id": "1000000000000001", "reason": "no such student"}]
    partial = export_response(outcome="partial", refused_lines=lines)
    paid = bursar_payment(bursar_transaction_id="1000000000000001", comment="cash or card")
    for contract, data in (("export-response.v1", partial), ("bursar-payment.v1", paid)):
        first, again = read(contract, data), read(contract, respelled(random, data))
        assert isinstance(first, BursarPayment | ExportResponse)
        assert isinstance(again, BursarPayment | ExportResponse)
        assert first.digest == again.digest
    created = fine_created(comment="returned late", item={"title": "On Growth and Form"})
    first, again = (read("fine-created.v1", d) for d in (created, respelled(random, created)))
    assert isinstance(first, FineCreated)
    assert isinstance(again, FineCreated)
    assert again.facts == first.facts


# --- reasons that are required -------------------------------------------------------------------


@pytest.mark.parametrize("sent", ["", "  ", "\u00a0\t", "\u200e\u0098"])
def test_a_required_reason_of_which_nothing_is_left_is_missing(sent: str) -> None:
    whole = export_response(outcome="refused", reason=sent)
    assert rejection("export-response.v1", whole) == (
        "invalid_schema",
        "reason: is required for refused",
    )
    lines = [{"bursar_transaction_id": "42", "reason": text} for text in ("no", sent)]
    partial = export_response(outcome="partial", refused_lines=lines)
    assert rejection("export-response.v1", partial) == (
        "invalid_schema",
        "refused_lines.1.reason: must not be empty",
    )
