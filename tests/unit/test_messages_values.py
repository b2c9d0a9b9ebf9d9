"""Amounts, times, texts, ids and numbers of a record as core values (contracts.md, 1-4)."""

from datetime import UTC, datetime, timedelta, timezone
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.events import BursarPayment, Incoming, Rejection
from service.core.money import format_minor
from service.core.words import Reason
from service.messages.decode import parse
from tests.support.inputs import Data, binary, bursar_payment, export_response, fine_created, record
from tests.support.reading import fine, patron, payment, read, rejection, response

CREATED = datetime(2026, 9, 1, 10, tzinfo=UTC)


# --- value rules ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("95.50", "USD", 95_50),
        ("95.5", "USD", 95_50),
        ("95", "USD", 95_00),
        ("0.01", "USD", 1),
        ("9999999999.99", "EUR", 999_999_999_999),
        ("300", "JPY", 300),
        ("1.234", "KWD", 1_234),
        ("1.2", "KWD", 1_200),
    ],
)
def test_an_amount_is_minor_units_of_its_currency(amount: str, currency: str, minor: int) -> None:
    assert fine(amount=amount, currency=currency).facts.amount == minor
    assert fine(type="CREDIT", amount=f"-{amount}", currency=currency).facts.amount == -minor
    assert payment(amount=amount, currency=currency).amount == minor


@given(st.sampled_from(["JPY", "USD", "KWD"]), st.integers(1, 10**10 - 1))
def test_what_is_printed_is_read_back(currency: str, minor: int) -> None:
    assert payment(amount=format_minor(minor, currency), currency=currency).amount == minor


@pytest.mark.parametrize(
    ("sent", "read_as"),
    [
        ("2026-09-01T10:00:00Z", CREATED),
        ("2026-09-01t10:00:00z", CREATED),
        ("2026-09-01T12:00:00+02:00", CREATED),
        ("2026-08-31T22:30:00-11:30", CREATED),
        ("2026-09-01T10:00:00-00:00", CREATED),
        ("2026-09-01T10:00:00.5Z", CREATED + timedelta(milliseconds=500)),
        ("2026-09-01T10:00:00.1234569Z", CREATED + timedelta(microseconds=123_456)),
        ("2026-09-01T10:00:00.9999999999Z", CREATED + timedelta(microseconds=999_999)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_a_time_is_an_instant_in_utc(sent: str, read_as: datetime) -> None:
    result = fine(created_at=sent).facts.created_at
    assert result == read_as
    assert result.tzinfo is UTC


@pytest.mark.parametrize(
    "sent",
    [
        *("2026-09-01T10:00:00", "2026-09-01 10:00:00Z", "2026-09-01", "20260901T100000Z"),
        *("2026-09-01T10:00:60Z", "2026-12-31T23:59:60Z", "2026-09-01T24:00:00Z"),
        *("2026-02-29T10:00:00Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01"),
        *("9999-12-31T23:59:59-00:01", "2026-09-01T10:00:00+24:00", "2026-09-01T10:00:00+0200"),
        *("2026-09-01T10:00:00.Z", "2026-09-01T10:00:00,5Z", "2026-09-01T10:00:00Z\n", ""),
        *("２026-09-01T10:00:00Z", "2026-09-01T10:00:00+02:60", "2026-W36-2T10:00:00Z"),
        *(f"2026-09-01T10:00:00.{'1' * 60}Z", 1_788_253_200, None, ["2026"]),
    ],
)
def test_what_is_no_rfc_3339_time_is_refused(sent: object) -> None:
    reason, detail = rejection("fine-created.v1", fine_created(created_at=sent))
    assert reason == "invalid_schema"
    assert detail == "created_at: must be an RFC 3339 date and time with offset"


ZONES = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda at: timezone(timedelta(minutes=at)))


AWARE = st.datetimes(timezones=ZONES).filter(lambda time: 1 < time.year < 9999)


@given(AWARE)
def test_an_offset_changes_how_a_time_is_written_and_nothing_else(aware: datetime) -> None:
    assert payment(paid_at=aware.isoformat()).paid_at == aware


@pytest.mark.parametrize(
    ("sent", "read_as"),
    [
        ("a\tb\nc\rd\r\ne", "a b c d  e"),
        ("Ångström", "Ångström"),
        ("é" * 300, "é" * 300),
        ("بنت", "بنت"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\u00ad \u00a0 \u2028 \ue000 👩\u200d🔬", "\u00ad \u00a0 \u2028 \ue000 👩\u200d🔬"),
        ("  ", "  "),
        ("", ""),
    ],
)
def test_a_text_is_nfc_and_on_one_line(sent: str, read_as: str) -> None:
    assert fine(comment=sent).facts.comment == read_as
    assert fine(patron=patron(name=sent)).patron.name == read_as


BAD_CHARACTERS = [
    *("\x00", "\x07", "\x0b", "\x1b", "\x7f", "\x85", "\x9f"),
    *("\u061c", "\u200e", "\u200f", "\u202a", "\u202e", "\u2066", "\u2069"),
    *("\ud800", "\udfff", "\uffff", "\ufdd0", "\U0001fffe", "\u0378"),
]


def with_character(contract: str, data: Data, character: str) -> Incoming | Rejection:
    """The data with each "%" replaced by the character, escaped: a surrogate has no UTF-8."""
    pairs = character.encode("utf-16-be", "surrogatepass")
    units = [pairs[at : at + 2].hex() for at in range(0, len(pairs), 2)]
    value, headers = binary(contract, data)
    value = value.replace(b"%", "".join(f"\\u{unit}" for unit in units).encode())
    return parse(contract, record(contract, value, headers))


@pytest.mark.parametrize("character", BAD_CHARACTERS, ids=ascii)
@pytest.mark.parametrize(
    ("field", "overrides"),
    [
        ("comment", {"comment": "a%b"}),
        ("fine_id", {"fine_id": "%"}),
        ("type", {"type": "A%"}),
        ("patron.patron_id", {"patron": patron(patron_id="P%")}),
        ("patron.name", {"patron": patron(name="%")}),
        (
            "patron.identifiers.1.value",
            {
                "patron": patron(
                    identifiers=[{"type": "01", "value": "a"}, {"type": "02", "value": "b%"}]
                )
            },
        ),
        ("item.title", {"item": {"title": "%"}}),
    ],
)
def test_a_text_with_a_refused_character_is_refused(
    character: str, field: str, overrides: Data
) -> None:
    result = with_character("fine-created.v1", fine_created(**overrides), character)
    assert isinstance(result, Rejection)
    assert result.reason is Reason.INVALID_TEXT
    assert result.detail == f"{field}: must not have control, bidi or unassigned characters"


@pytest.mark.parametrize("character", ["\t", "\n", "\r"], ids=ascii)
def test_an_id_may_not_have_the_controls_that_a_text_may(character: str) -> None:
    result = with_character("fine-created.v1", fine_created(fine_id="F%1"), character)
    assert isinstance(result, Rejection)
    assert result.reason is Reason.INVALID_TEXT


def test_an_id_is_nfc_and_no_longer_than_an_id_may_be() -> None:
    assert fine(fine_id="e\u0301").facts.fine_id == "\u00e9"
    assert fine(fine_id="\ufb2c" * 33).facts.fine_id == normalize("NFC", "\ufb2c" * 33)
    reason, detail = rejection("fine-created.v1", fine_created(fine_id="\ufb2c" * 34))
    assert (reason, detail) == ("invalid_text", "fine_id: must have at most 100 characters in NFC")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_a_text_is_refused_or_becomes_what_its_rules_say(sent: str) -> None:
    result = read("bursar-payment.v1", bursar_payment(comment=sent))
    if isinstance(result, Rejection):
        assert result.reason is Reason.INVALID_TEXT
        return
    assert isinstance(result, BursarPayment)
    assert result.comment == normalize("NFC", sent.translate(str.maketrans("\t\n\r", "   ")))
    assert payment(comment=result.comment).comment == result.comment


@pytest.mark.parametrize(
    ("sent", "number"), [(1, 1), (1.0, 1), (2**63 - 1, 2**63 - 1), (12e3, 12_000)]
)
def test_a_batch_number_is_any_json_integer(sent: object, number: int) -> None:
    assert response(batch_number=sent).batch.batch_number == number


@pytest.mark.parametrize("sent", [0, -1, 1.5, 2**63, 1e300, True, "1", None, [1]])
def test_a_batch_number_is_nothing_else(sent: object) -> None:
    reason, detail = rejection("export-response.v1", export_response(batch_number=sent))
    assert reason == "invalid_schema"
    assert detail.startswith("batch_number: must be a whole number from 1")


@pytest.mark.parametrize(
    "number",
    ["1e99999999999999999999", "1e-99999999999999999999", "1e400", "1" * 5_000, "-" + "1" * 5_000],
)
def test_a_number_beyond_all_bounds_is_refused_like_another(number: str) -> None:
    value, headers = binary("export-response.v1", export_response(batch_number="%"))
    value = value.replace(b'"%"', number.encode())
    result = parse("export-response.v1", record("export-response.v1", value, headers))
    assert isinstance(result, Rejection)
    assert result.detail.startswith("batch_number: must be a whole number from 1")
