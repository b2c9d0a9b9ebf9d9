"""Ids, short codes and identifiers of a record as core values (contracts.md, 1)."""

from dataclasses import replace
from unicodedata import normalize

import pytest

from service.core.events import Rejection
from service.core.words import Reason
from service.messages.texts import WHITE_SPACE
from tests.support.inputs import Data, bursar_payment, fine_created
from tests.support.reading import fine, patron, payment, rejection, with_character

BAD_CHARACTERS = [
    *("\x00", "\x07", "\x0b", "\x1b", "\x7f", "\x85", "\x98", "\x9f"),
    *("\u061c", "\u200e", "\u200f", "\u202a", "\u202e", "\u2066", "\u2069"),
    *("\ud800", "\udfff", "\uffff", "\ufdd0", "\U0001fffe"),
]


@pytest.mark.parametrize("character", BAD_CHARACTERS, ids=ascii)
@pytest.mark.parametrize(
    ("field", "overrides"),
    [
        ("fine_id", {"fine_id": "a%b"}),
        ("type", {"type": "A%B"}),
        ("patron.patron_id", {"patron": patron(patron_id="P%P")}),
        ("patron.user_group", {"patron": patron(user_group="P%P")}),
        (
            "patron.identifiers.1.value",
            {
                "patron": patron(
                    identifiers=[{"type": "01", "value": "a"}, {"type": "02", "value": "b%b"}]
                )
            },
        ),
        (
            "patron.identifiers.0.type",
            {"patron": patron(identifiers=[{"type": "0%1", "value": "a"}])},
        ),
    ],
)
def test_an_id_with_a_control_character_is_refused(
    character: str, field: str, overrides: Data
) -> None:
    result = with_character("fine-created.v1", fine_created(**overrides), character)
    assert isinstance(result, Rejection)
    assert result.reason is Reason.INVALID_TEXT
    rule = "must not have control or bidi characters, surrogates or noncharacters"
    assert result.detail == f"{field}: {rule}"


@pytest.mark.parametrize("character", ["\t", "\n", "\r"], ids=ascii)
def test_an_id_may_not_have_the_controls_that_a_code_may(character: str) -> None:
    result = with_character("fine-created.v1", fine_created(fine_id="F%1"), character)
    assert isinstance(result, Rejection)
    assert result.reason is Reason.INVALID_TEXT
    code = with_character("bursar-payment.v1", bursar_payment(status_code="a%b"), character)
    assert code == replace(payment(status_code="a b"), origin=code.origin)


@pytest.mark.parametrize("character", sorted(set(WHITE_SPACE) - set("\t\n\v\f\r\x85")), ids=ascii)
@pytest.mark.parametrize("place", ["%F-1", "F-1%", "%"])
def test_an_id_with_white_space_at_its_ends_is_refused(character: str, place: str) -> None:
    sent = place.replace("%", character)
    expected = ("invalid_text", "{}: must not have white space at its ends")
    for field in ("fine_id", "loan_id", "credit_of", "type"):
        fault = rejection("fine-created.v1", fine_created(**{field: sent}))
        assert fault == (expected[0], expected[1].format(field))
    for field in ("source", "payment_id", "fine_id"):
        fault = rejection("bursar-payment.v1", bursar_payment(**{field: sent}))
        assert fault == (expected[0], expected[1].format(field))
    assert fine(fine_id=f"F{character}1").facts.fine_id == normalize("NFC", f"F{character}1")


def test_an_id_may_have_a_character_that_is_not_assigned() -> None:
    assert fine(fine_id="F\u03781").facts.fine_id == "F\u03781"


def test_an_id_is_nfc_and_no_longer_than_an_id_may_be() -> None:
    assert fine(fine_id="e\u0301").facts.fine_id == "\u00e9"
    assert fine(fine_id="\ufb2c" * 33).facts.fine_id == normalize("NFC", "\ufb2c" * 33)
    reason, detail = rejection("fine-created.v1", fine_created(fine_id="\ufb2c" * 34))
    assert (reason, detail) == ("invalid_text", "fine_id: must have at most 100 characters in NFC")


# --- identifiers of patrons ----------------------------------------------------------------------


def identifiers(*pairs: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """What is read of a patron's identifiers."""
    sent = [{"type": kind, "value": value} for kind, value in pairs]
    return fine(patron=patron(identifiers=sent)).patron.identifiers


def test_identifiers_are_trimmed_and_two_spellings_of_one_are_one() -> None:
    assert identifiers(("02", "0012345 "), ("01", "\u00a0a b\t\n")) == (
        ("02", "0012345"),
        ("01", "a b"),
    )
    assert identifiers(("02", "12"), ("02", "12 "), ("03", "12"), ("02", "\u300012\u2003")) == (
        ("02", "12"),
        ("03", "12"),
    )
    assert identifiers(("02", " \u00a0 "), ("02", "")) == (("02", ""),)
    assert identifiers(("02", "é"), ("02", "e\u0301")) == (("02", "é"),)
    assert fine(patron=patron(user_group="\u00a0STUDENT ")).patron.user_group == "STUDENT"
    assert fine(patron=patron(user_group=" ")).patron.user_group == ""


@pytest.mark.parametrize("field", ["user_group", "identifiers.0.value"])
def test_an_identifier_and_a_group_have_at_most_200_characters_after_trimming(field: str) -> None:
    def sent(text: str) -> Data:
        if field == "user_group":
            return patron(user_group=text)
        return patron(identifiers=[{"type": "02", "value": text}])

    assert fine(patron=sent(" " * 50 + "9" * 200 + "\u00a0" * 50)).facts.fine_id == "F-1"
    fault = rejection("fine-created.v1", fine_created(patron=sent("9" * 201), amount="1e5"))
    assert fault == ("invalid_schema", f"patron.{field}: must have at most 200 characters")
    reason, _ = rejection("fine-created.v1", fine_created(patron=sent("\ufb2c" * 67)))
    assert reason == "invalid_text"
