"""The examples against the wire models: what the schemas cannot say is held here too."""

import json
from enum import StrEnum
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from service.core import words
from service.core.events import FineCreated, Incoming, Rejection
from service.kafka.topics import INPUTS
from service.messages.decode import CONTRACTS, RECORD_BYTES_MAX, parse
from tests.contracts import examples
from tests.contracts.examples import INBOUND
from tests.support.inputs import binary, record, structured, value_of

VALID = [(name, path) for name in INBOUND for path in examples.valid(name)]
INVALID = [(name, path, reason) for name in INBOUND for path, reason in examples.invalid(name)]
SMALL = [(name, path) for name, path in VALID if path.stat().st_size < RECORD_BYTES_MAX // 2]


def parsed(name: str, value: bytes) -> Incoming | Rejection:
    contract = f"{name}.v1"
    return parse(contract, record(contract, *binary(contract, value)))


def digest(result: Incoming | Rejection) -> bytes:
    assert not isinstance(result, Rejection), result.detail
    return result.facts.digest if isinstance(result, FineCreated) else result.digest


def case_id(case: object) -> str:
    return case.stem if isinstance(case, Path) else str(case)


def test_there_is_a_reader_for_every_inbound_contract() -> None:
    assert set(CONTRACTS) == {f"{name}.v1" for name in INBOUND}
    assert set(CONTRACTS) == set(INPUTS)


@pytest.mark.parametrize(("name", "path"), VALID, ids=case_id)
def test_a_valid_example_is_read(name: str, path: Path) -> None:
    assert len(digest(parsed(name, path.read_bytes()))) == 32


@pytest.mark.parametrize(("name", "path", "reason"), INVALID, ids=case_id)
def test_an_invalid_example_is_refused_with_the_reason_of_its_name(
    name: str, path: Path, reason: str
) -> None:
    result = parsed(name, path.read_bytes())
    assert isinstance(result, Rejection)
    assert result.reason == reason, result.detail


@pytest.mark.parametrize(("name", "path"), SMALL, ids=case_id)
def test_a_valid_example_says_the_same_in_structured_mode(name: str, path: Path) -> None:
    contract = f"{name}.v1"
    value, headers = structured(contract, json.loads(path.read_bytes()))
    result = parse(contract, record(contract, value, headers))
    assert digest(result) == digest(parsed(name, path.read_bytes()))


CODES = {
    code.value
    for kind in vars(words).values()
    if isinstance(kind, type) and issubclass(kind, StrEnum)
    for code in kind
}


def accepts(name: str, member: str, code: str) -> bool:
    """Whether the wire model takes `code` as the value of a member, whatever else it lacks."""
    try:
        CONTRACTS[f"{name}.v1"].model_validate({member: code})
    except ValidationError as error:
        return all(fault["loc"][0] != member for fault in error.errors())
    return True


@pytest.mark.parametrize(
    ("name", "member"),
    [("fine-changed", "kind"), ("bursar-payment", "kind"), ("export-response", "outcome")],
)
def test_a_wire_model_takes_the_codes_of_its_released_schema_and_no_others(
    name: str, member: str
) -> None:
    """A code that the rules learn for a later version must not get into this one."""
    properties = examples.schema(name)["properties"]
    assert isinstance(properties, dict)
    assert {code for code in CODES if accepts(name, member, code)} == set(
        properties[member]["enum"]
    )


# Values that are near to what the contracts know: a member set to one is often just wrong.
NEAR = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2**64 + 1),
    st.text(max_size=4),
    st.sampled_from(
        [
            *("0", "-0", "1", "-1", "01", "1.5", "1.500", "+1", "1e3", "9999999999", "10000000000"),
            *("USD", "JPY", "usd", "CREDIT", "payment", "reversal", "status", "paid", "disputed"),
            *("accepted", "partial", "refused", "bb-", "bb-1", "x" * 100, "x" * 101, "a\nb", "\n"),
            *("2026-10-01T08:00:00Z", "2026-02-30T08:00:00Z", "2026-10-01T08:00:00"),
            *("0001-01-01T00:00:00+01:00", "2026-10-01t08:00:00.1234567z"),
        ]
    ),
    st.builds(list),
    st.builds(dict),
    st.just(1.0),
    st.just(1.5),
)


@st.composite
def near_misses(draw: st.DrawFn) -> tuple[str, bytes]:
    """A valid example with some members replaced, dropped or added, at any depth."""
    name, path = draw(st.sampled_from(SMALL))
    data = json.loads(path.read_bytes())
    for _ in range(draw(st.integers(1, 3))):
        places = list(examples.objects(data))
        place = draw(st.sampled_from(places))
        member = draw(st.sampled_from([*place, "kind", "amount", "outcome", "unknown"]))
        if draw(st.booleans()):
            place.pop(member, None)
        else:
            place[member] = draw(NEAR)
    return name, value_of(data) if draw(st.booleans()) else json.dumps(data).encode()


BEYOND_A_SCHEMA = ("invalid_text", "invalid_currency", "invalid_amount")
RULES_BEYOND_A_SCHEMA = ("must not be the payment_id itself", "date and time", "at most 200")


@settings(max_examples=7 * settings().max_examples)
@given(near_misses())
def test_a_wire_model_refuses_what_its_schema_refuses(case: tuple[str, bytes]) -> None:
    name, value = case
    result, faults = parsed(name, value), examples.faults(name, value)
    if not isinstance(result, Rejection):
        assert faults == []
    elif not faults:
        beyond = any(rule in result.detail for rule in RULES_BEYOND_A_SCHEMA)
        assert result.reason in BEYOND_A_SCHEMA or beyond, result.detail
