"""asyncapi.yaml is valid by the official schema, complete, and its references lead somewhere."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator

from tests.contracts import examples
from tests.contracts.examples import CONTRACTS, INBOUND, NAMES, OUTBOUND

Node = dict[str, object]
TOPICS = (*INBOUND, *OUTBOUND, "export-batch")
OFFICIAL = Path(__file__).parent / "asyncapi-3.0.0.schema.json"


@pytest.fixture(scope="module")
def document() -> Node:
    loaded: Node = yaml.safe_load((CONTRACTS / "asyncapi.yaml").read_bytes())
    return loaded


@pytest.fixture(scope="module")
def official() -> Draft7Validator:
    return Draft7Validator(json.loads(OFFICIAL.read_bytes()))


def at(document: Node, pointer: str) -> Node:
    """The object a JSON pointer leads to. Raises KeyError where it leads nowhere."""
    node: object = document
    for key in pointer.removeprefix("#/").split("/"):
        assert isinstance(node, dict)
        node = node[key]
    assert isinstance(node, dict)
    return node


def references(node: object) -> Iterator[str]:
    for each in examples.objects(node):
        if isinstance(reference := each.get("$ref"), str):
            yield reference


def channel(document: Node, name: str) -> Node:
    channels = at(document, "#/channels")
    wanted = f"{{prefix}}{name}.v1"
    [result] = [node for node in examples.objects(channels) if node.get("address") == wanted]
    return result


def only_message(document: Node, name: str) -> Node:
    [reference] = references(channel(document, name)["messages"])
    return at(document, reference)


def test_the_document_is_valid_by_the_official_schema(
    document: Node, official: Draft7Validator
) -> None:
    assert [error.message for error in official.iter_errors(document)] == []


def test_the_official_schema_does_refuse(document: Node, official: Draft7Validator) -> None:
    broken = copy.deepcopy(document)
    at(broken, "#/operations/sendRejected")["action"] = "publish"
    assert not official.is_valid(broken)


def test_every_reference_inside_the_document_resolves(document: Node) -> None:
    inside = [each for each in references(document) if each.startswith("#/")]
    assert len(inside) > len(TOPICS)
    for reference in inside:
        assert at(document, reference)


def test_every_reference_to_a_file_resolves_and_every_schema_is_referred_to(
    document: Node,
) -> None:
    files = {each for each in references(document) if not each.startswith("#/")}
    schemas = {str(examples.schema_path(name).relative_to(CONTRACTS)) for name in NAMES}
    assert files == schemas
    for node in examples.objects(document):
        for key in ("x-xsd", "x-examples"):
            assert (CONTRACTS / str(node.get(key, "."))).exists()


def test_there_is_one_channel_per_topic_and_no_other(document: Node) -> None:
    addresses = {node.get("address") for node in examples.objects(document)} - {None}
    assert addresses == {f"{{prefix}}{name}.v1" for name in TOPICS}
    assert at(document, "#/components/parameters/prefix")["default"] == "library."


@pytest.mark.parametrize("name", TOPICS)
def test_a_channel_says_all_a_reader_or_writer_needs(document: Node, name: str) -> None:
    node = channel(document, name)
    for key in ("title", "description", "x-key", "x-ordering", "x-retention"):
        assert node[key]
    assert node["x-direction"] == ("in" if name in INBOUND else "out")
    bindings = at(document, next(references(node["bindings"])))
    assert at(bindings, "kafka/topicConfiguration")["cleanup.policy"] == ["delete"]


@pytest.mark.parametrize("name", ["export-batch", "export-manifest", "operator-action"])
def test_the_record_of_what_left_the_house_stays_400_days(document: Node, name: str) -> None:
    bindings = at(document, next(references(channel(document, name)["bindings"])))
    configuration = at(bindings, "kafka/topicConfiguration")
    assert configuration["retention.ms"] == 400 * 24 * 60 * 60 * 1000


@pytest.mark.parametrize("name", TOPICS)
def test_inbound_is_received_and_outbound_is_sent(document: Node, name: str) -> None:
    channels = at(document, "#/channels")
    [key] = [key for key in channels if channels[key] == channel(document, name)]
    operations = at(document, "#/operations").values()
    [action] = [
        operation["action"]
        for operation in operations
        if isinstance(operation, dict) and operation["channel"] == {"$ref": f"#/channels/{key}"}
    ]
    assert action == ("receive" if name in INBOUND else "send")


@pytest.mark.parametrize("name", TOPICS)
def test_a_message_is_named_by_its_event_type(document: Node, name: str) -> None:
    message = only_message(document, name)
    assert message["name"] == f"org.bursar-bridge.{name}.v1"
    if name == "rejected":
        return
    headers = at(document, next(references(message["headers"])))
    assert at(headers, "properties/ce_type")["const"] == message["name"]


@pytest.mark.parametrize(
    "name", [*INBOUND, "balance-changed", "export-manifest", "loan-closed", "operator-action"]
)
def test_the_payload_of_a_message_is_its_schema_file(document: Node, name: str) -> None:
    message = only_message(document, name)
    wanted = str(examples.schema_path(name).relative_to(CONTRACTS))
    assert list(references(message["payload"])) == [wanted]
    assert message["contentType"] == "application/json"
