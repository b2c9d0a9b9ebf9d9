"""The examples under contracts/, for every test that holds something against them.

An invalid example is named `<reason>--<case>.json`; the reason is the code its record is rejected
with.
"""

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from jsonschema import Draft7Validator

CONTRACTS = Path(__file__).parents[2] / "contracts"
EVENTS = CONTRACTS / "events"
XML = CONTRACTS / "export" / "examples"

INBOUND = ("fine-created", "fine-changed", "bursar-payment", "export-response")
OUTBOUND = ("balance-changed", "export-manifest", "loan-closed", "rejected", "operator-action")
NAMES = INBOUND + OUTBOUND

Schema = dict[str, object]

# What a schema cannot refuse, the wire model does it alone: patterns of file names, with the cause.
WIRE_ONLY: dict[str, str] = {
    "invalid_json--duplicate_key*": "a schema sees the parsed value, the first of the two is gone",
    "invalid_json--nan_in_ignored_member": "this parser knows NaN, unknown members are ignored",
    "invalid_json--infinity_in_ignored_member": "the same",
    "invalid_size--*": "a schema does not see the bytes",
    "invalid_text--lone_*_surrogate_*": "no pattern says so in every dialect",
    "invalid_text--noncharacter_*": "no pattern knows all of them",
    "invalid_schema--patron_*_201_characters": "a schema would count what is cut off, too",
    "invalid_amount--*three_decimals_in_usd": "decimals depend on the currency",
    "invalid_amount--three_zero_decimals_in_eur": "the same",
    "invalid_amount--one_decimal_in_jpy": "the same",
    "invalid_currency--*unknown_code": "the list of currencies is ISO's",
    "invalid_currency--withdrawn_mark": "the same",
    "invalid_currency--gold_has_no_minor_unit": "the same",
    "invalid_currency--no_currency_xxx": "the same",
    "invalid_currency--four_decimals_clf": "the same",
    "invalid_schema--*_in_utc": "sound as written, out of range once it is UTC",
}

# Some parsers stop at such a depth, others do not: only the wire model's answer is certain.
UP_TO_THE_PARSER = "invalid_json--*_nested_too_deep"

# What XSD 1.0 cannot refuse: the reader and the tests of the writer do it.
XSD_ACCEPTS: dict[str, str] = {
    "list_before_number": "siblings of one name have one type",
    "two_lists": "the same",
    "two_numbers": "the same",
    "indented": "white space between elements is never an error",
    "default_namespace_instead_of_prefix": "prefixes are not part of the infoset a schema sees",
    "other_prefix": "the same",
    "user_name_with_institution": "a type cannot depend on a sibling's text",
    "identifier_with_null_institution": "the same",
    "date_february_30": "a pattern knows no calendar",
}


def valid(name: str) -> list[Path]:
    """The valid examples of `name` ("fine-created"), sorted."""
    return sorted((CONTRACTS / "examples" / f"{name}.v1" / "valid").iterdir())


def invalid(name: str) -> list[tuple[Path, str]]:
    """The invalid examples of `name`, sorted, each with the reason it must be rejected with."""
    folder = CONTRACTS / "examples" / f"{name}.v1" / "invalid"
    return [(path, path.stem.partition("--")[0]) for path in sorted(folder.iterdir())]


def wire_only(path: Path) -> bool:
    """Whether only the wire model can refuse this example."""
    return any(fnmatchcase(path.stem, pattern) for pattern in WIRE_ONLY)


def up_to_the_parser(path: Path) -> bool:
    """Whether a plain JSON parser may or may not refuse this example."""
    return fnmatchcase(path.stem, UP_TO_THE_PARSER)


def valid_xml() -> list[Path]:
    return sorted((XML / "valid").iterdir())


def invalid_xml() -> list[Path]:
    return sorted((XML / "invalid").iterdir())


def schema_path(name: str) -> Path:
    kind = ".headers" if name == "rejected" else ""
    return EVENTS / f"{name}.v1{kind}.schema.json"


@cache
def schema(name: str) -> Schema:
    """The draft-07 schema of a payload; for `rejected` that of its headers as a string map."""
    loaded: Schema = json.loads(schema_path(name).read_bytes())
    return loaded


@cache
def validator(name: str) -> Draft7Validator:
    return Draft7Validator(schema(name), format_checker=Draft7Validator.FORMAT_CHECKER)


def faults(name: str, record: bytes) -> list[str]:
    """What a plain JSON parser and the schema have against a record; empty when they accept it."""
    try:
        value = json.loads(record.decode())
    except (ValueError, RecursionError) as problem:
        return [type(problem).__name__]
    return [error.message for error in validator(name).iter_errors(value)]


def objects(node: object) -> Iterator[dict[str, object]]:
    """Every JSON object inside a value, the value itself included."""
    if isinstance(node, dict):
        yield node
    if isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from objects(child)
