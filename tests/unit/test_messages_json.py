"""What strict JSON may hold, and that nothing that is read raises (contracts.md, 0)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.events import BursarPayment, FineCreated, Rejection
from service.core.words import Reason
from service.messages.decode import CONTRACTS, parse
from tests.support.enveloped import binary_headers, rejection, with_headers
from tests.support.inputs import Headers, binary, bursar_payment, fine_created, record, value_of

FINE = "fine-created.v1"


LONG = "1" * 5_000  # digits; the parser's own bound is below


def test_a_lone_surrogate_in_an_ignored_member_is_no_fault() -> None:
    sound = value_of(bursar_payment())[:-1]
    assert isinstance(
        with_headers(binary_headers(), sound + rb', "x": "\\\ud800 \ud83d\ude00"}'), BursarPayment
    )


@pytest.mark.parametrize("number", ["%", "-%", "%.5", "%e-7", "0.%", "1e%", "[[%], %]"])
def test_a_number_of_any_length_in_an_ignored_member_is_no_fault(number: str) -> None:
    sound = value_of(bursar_payment())[:-1]
    value = sound + b', "x": ' + number.replace("%", LONG).encode() + b"}"
    assert isinstance(with_headers(binary_headers(), value), BursarPayment)


@pytest.mark.parametrize(
    "number",
    ["0%", "+%", "--%", ".%", "%.", "%e", "%.e5", "1.5.%", "1e5e%", "1 %", "%x", "1_%", '"%', "[%"],
)
def test_what_is_no_number_is_no_json_however_long_it_is(number: str) -> None:
    sound = value_of(bursar_payment())[:-1]
    value = sound + b', "x": ' + number.replace("%", LONG).encode() + b"}"
    assert rejection(with_headers(binary_headers(), value))[0] is Reason.INVALID_JSON


def test_digits_in_a_text_stay_beside_a_number_of_any_length() -> None:
    value = value_of(bursar_payment(comment=f'"{LONG[:1900]}'))[:-1]
    result = with_headers(binary_headers(), value + b', "x": ' + LONG.encode() + b"}")
    assert isinstance(result, BursarPayment)
    assert result.comment == f'"{LONG[:1900]}'


def test_a_surrogate_after_an_escaped_backslash_is_plain_text() -> None:
    value = json.dumps(bursar_payment(comment="\\ud800")).encode()
    result = with_headers(binary_headers(), value)
    assert isinstance(result, BursarPayment)
    assert result.comment == "\\ud800"


def test_a_surrogate_pair_beside_a_lone_one_stays_a_character() -> None:
    sound = value_of(bursar_payment())[:-1]
    value = sound + rb', "comment": "\ud83d\ude00", "unknown": "\udc00"}'
    result = with_headers(binary_headers(), value)
    assert isinstance(result, BursarPayment)
    assert result.comment == "😀"


KEYS = st.sampled_from(["ce_id", "ce_type", "ce_time", "content-type", "Content-Type", "x", "ce_x"])


ANY_HEADERS = st.lists(st.tuples(KEYS, st.binary(max_size=20)), max_size=6).map(tuple)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


ANY_VALUES = st.none() | st.binary() | JSON_VALUES.map(lambda value: json.dumps(value).encode())


@given(st.sampled_from(sorted(CONTRACTS)), ANY_VALUES, ANY_HEADERS)
def test_whatever_comes_nothing_is_raised(
    contract: str, value: bytes | None, headers: Headers
) -> None:
    assert isinstance(parse(contract, record(contract, value, headers)), Rejection)


@given(st.sampled_from(sorted(CONTRACTS)), ANY_VALUES)
def test_whatever_a_sound_envelope_holds_nothing_is_raised(
    contract: str, value: bytes | None
) -> None:
    _, headers = binary(contract, b"")
    assert isinstance(parse(contract, record(contract, value, headers)), Rejection)


@given(st.data(), st.integers(0, 6))
def test_a_damaged_record_is_read_or_refused_but_never_raises(
    data: st.DataObject, damages: int
) -> None:
    value, headers = binary(FINE, fine_created())
    damaged = bytearray(value)
    for _ in range(damages):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    result = parse(FINE, record(FINE, bytes(damaged), headers))
    assert isinstance(result, FineCreated | Rejection)
