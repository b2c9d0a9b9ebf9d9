"""Every example against its schema, and the schemas against the house rules of contracts."""

import hashlib
import json
import re
from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

import pytest
from jsonschema import Draft7Validator
from lxml import etree

from service.core.words import (
    Considered,
    Kind,
    LostRule,
    Mode,
    Overpayment,
    Reason,
    RefusedRule,
    Status,
    Wait,
)
from tests.contracts import examples
from tests.contracts.examples import EVENTS, INBOUND, NAMES, OUTBOUND, Schema

Node = dict[str, object]
VALID = [(name, path) for name in NAMES for path in examples.valid(name)]
INVALID = [(name, path, reason) for name in NAMES for path, reason in examples.invalid(name)]
CERTAIN = [case for case in INVALID if not examples.up_to_the_parser(case[1])]
OF_THE_SCHEMA = [case for case in CERTAIN if not examples.wire_only(case[1])]
WIRE_ONLY = [case for case in INVALID if examples.wire_only(case[1])]


def named(cases: Iterable[tuple[str, Path] | tuple[str, Path, str]]) -> list[str]:
    return [f"{case[0]}-{case[1].stem}" for case in cases]


@pytest.mark.parametrize(("name", "path"), VALID, ids=named(VALID))
def test_a_valid_example_is_accepted(name: str, path: Path) -> None:
    assert examples.faults(name, path.read_bytes()) == []


@pytest.mark.parametrize(("name", "path", "reason"), OF_THE_SCHEMA, ids=named(OF_THE_SCHEMA))
def test_an_invalid_example_is_refused(name: str, path: Path, reason: str) -> None:
    assert examples.faults(name, path.read_bytes()) != [], reason


@pytest.mark.parametrize(("name", "path", "reason"), WIRE_ONLY, ids=named(WIRE_ONLY))
def test_an_example_listed_as_beyond_the_schema_is_accepted_by_it(
    name: str, path: Path, reason: str
) -> None:
    assert examples.faults(name, path.read_bytes()) == [], f"take it off the list: {reason}"


@pytest.mark.parametrize("pattern", examples.WIRE_ONLY)
def test_every_row_of_the_list_beyond_the_schema_is_needed(pattern: str) -> None:
    assert any(Path(path.stem).match(pattern) for _, path, _ in WIRE_ONLY)


@pytest.mark.parametrize(("name", "path", "reason"), INVALID, ids=named(INVALID))
def test_the_name_of_an_invalid_example_starts_with_a_reason(
    name: str, path: Path, reason: str
) -> None:
    assert re.fullmatch(r"[a-z_]+--[a-z0-9_]+\.json", path.name), name
    assert Reason(reason).name.startswith("INVALID_")


def test_every_contract_has_its_examples_and_no_example_lacks_a_contract() -> None:
    folders = {path.name for path in (examples.CONTRACTS / "examples").iterdir()}
    assert folders == {f"{name}.v1" for name in NAMES}
    assert set(EVENTS.iterdir()) == {examples.schema_path(name) for name in NAMES}


@pytest.mark.parametrize("name", INBOUND)
def test_an_inbound_contract_has_an_example_of_every_kind_of_fault(name: str) -> None:
    faults = {reason for _, reason in examples.invalid(name)}
    assert faults >= {"invalid_json", "invalid_schema", "invalid_amount", "invalid_text"}


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_draft_07_and_named_by_a_urn(name: str) -> None:
    schema = examples.schema(name)
    Draft7Validator.check_schema(schema)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert str(schema["$id"]).startswith(f"urn:bursar-bridge:{name}.v1")


def declared_objects(schema: Schema) -> list[Node]:
    return [node for node in examples.objects(schema) if node.get("type") == "object"]


@pytest.mark.parametrize("name", INBOUND)
def test_inbound_ignores_unknown_members_everywhere(name: str) -> None:
    schema = examples.schema(name)
    assert all("additionalProperties" not in node for node in declared_objects(schema))


@pytest.mark.parametrize("name", OUTBOUND)
def test_outbound_forbids_unknown_members_everywhere(name: str) -> None:
    schema = examples.schema(name)
    assert all(node["additionalProperties"] is False for node in declared_objects(schema))


@pytest.mark.parametrize("name", NAMES)
def test_a_pattern_means_the_same_in_every_dialect_of_regular_expressions(name: str) -> None:
    nodes = examples.objects(examples.schema(name))
    patterns = [node["pattern"] for node in nodes if isinstance(node.get("pattern"), str)]
    # Shorthands follow Unicode in one dialect, ASCII in another; not every one can look around.
    assert not [each for each in patterns if re.search(r"\\[dwsbDWSB]|\(\?|\\u|\\p", str(each))]


def enum_at(name: str, *path: str) -> list[str]:
    node: object = examples.schema(name)
    for step in ("properties", "/".join(path).replace("/", "/properties/")):
        for key in step.split("/"):
            assert isinstance(node, dict)
            node = node[key]
    assert isinstance(node, dict)
    result: list[str] = node["enum"]
    return result


def codes(*enums: type[StrEnum]) -> list[str]:
    return [member.value for enum in enums for member in enum]


def test_the_codes_in_the_schemas_are_those_of_the_service() -> None:
    assert enum_at("balance-changed", "transaction", "kind") == codes(Kind)
    assert sorted(enum_at("balance-changed", "fine", "status")) == sorted(codes(Status))
    assert enum_at("balance-changed", "fine", "considered") == codes(Considered)
    assert enum_at("export-manifest", "mode") == codes(Mode)
    terms = {"mode": Mode, "lost": LostRule, "overpayment": Overpayment, "refused": RefusedRule}
    for member, rule in terms.items():
        assert enum_at("export-manifest", "terms", member) == codes(rule)
    members = json.loads(examples.schema_path("export-manifest").read_bytes())["properties"]
    labels = members["terms"]["properties"]["labels"]["items"]
    assert labels["properties"]["kind"]["enum"] == codes(Kind)
    assert enum_at("rejected", "bursar-reason") == codes(Reason, Wait)


def balance(event: Node, member: str) -> dict[str, Decimal]:
    amounts = event[member]
    assert isinstance(amounts, dict)
    return {key: Decimal(amount) for key, amount in amounts.items()}


@pytest.mark.parametrize("path", examples.valid("balance-changed"), ids=lambda path: path.stem)
def test_the_balances_of_an_example_add_up(path: Path) -> None:
    event = json.loads(path.read_bytes())
    after, before, change = (balance(event, key) for key in ("balance", "previous", "change"))
    for amounts in (after, before):
        assert amounts["total"] == amounts["active"] + amounts["transferred"]
    for key in ("active", "transferred"):
        assert after[key] == before[key] + change[key]


def test_there_is_an_example_of_every_kind_of_transaction() -> None:
    events = [json.loads(path.read_bytes()) for path in examples.valid("balance-changed")]
    assert {event["transaction"]["kind"] for event in events} == set(codes(Kind))


@pytest.mark.parametrize("case", ["several_patrons_and_fines", "empty_batch"])
def test_the_manifest_of_an_example_is_that_of_its_xml(case: str) -> None:
    folder = examples.CONTRACTS / "examples" / "export-manifest.v1" / "valid"
    manifest = json.loads((folder / f"{case}.json").read_bytes())
    xml = (examples.XML / "valid" / f"{case}.xml").read_bytes()
    root = etree.fromstring(xml)
    sums = [Decimal(node.text or "") for node in root.iter("{*}sum")]
    lines = [Decimal(line["amount"]) for line in manifest["lines"]]
    assert manifest["sha256"] == hashlib.sha256(xml).hexdigest()
    assert manifest["size_bytes"] == len(xml)
    assert manifest["export_number"] == root.findtext(".//{*}exportNumber")
    assert manifest["count"] == len(sums)
    assert manifest["patrons"] == len(list(root.iter("{*}patronName")))
    assert lines == sums
    assert Decimal(manifest["total"]) == sum(sums)
    for group in ("by_type", "by_owner"):
        assert sum(Decimal(row["total"]) for row in manifest[group]) == sum(sums)
        assert sum(row["count"] for row in manifest[group]) == len(sums)
