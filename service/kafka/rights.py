"""Asks the brokers which rights the service has to topics.

The Kafka client has no method that asks for rights. Therefore this module defines version 8 of
Kafka's metadata request, in whose answer brokers list the rights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    NoError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

if TYPE_CHECKING:  # the client has no types
    S = TypeVar("S")

    class Response:
        """The fields of an answer of the brokers."""

    class RequestStruct:
        """The fields of a request in one version of the protocol."""

        def __init__(self, *fields: object) -> None: ...

        def encode(self) -> bytes:
            """Returns the bytes that are sent."""

    class Request(Generic[S]):
        """A request in any version of the protocol."""

        def prepare(self, versions: Mapping[int, tuple[int, int]]) -> S:
            """Returns the request in a version that client and broker both support."""

else:
    from aiokafka.protocol.api import Request, RequestStruct, Response

# The protocol's numbers of operations on a topic.
READ, WRITE = 3, 4


@dataclass(frozen=True, slots=True)
class TopicRights:
    """Whether a topic exists, and whether the service may read it and write to it; both are False
    for a topic that does not exist.
    """

    is_missing: bool = False
    may_read: bool = False
    may_write: bool = False


class MetadataResponse(Response):
    """The fields of the brokers' answer to a metadata request, in version 8."""

    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(
                ("node_id", Int32),
                ("host", String("utf-8")),
                ("port", Int32),
                ("rack", String("utf-8")),
            ),
        ),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("operations", Int32),
            ),
        ),
        ("cluster_operations", Int32),
    )


class MetadataStruct(RequestStruct):
    """The fields of a metadata request to the brokers, in version 8."""

    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = MetadataResponse
    SCHEMA = Schema(
        ("topics", Array(String("utf-8"))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_operations", Boolean),
        ("include_topic_operations", Boolean),
    )


class RightsRequest(Request[MetadataStruct]):
    """A request for the service's rights to the topics; the broker does not create a topic that is
    missing.
    """

    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: type[MetadataStruct]) -> MetadataStruct:
        """Returns the request in a protocol version that client and broker both support."""
        return request_struct_class(self._topics, False, False, True)


async def topic_rights(
    admin: AIOKafkaAdminClient, topics: Sequence[str]
) -> Mapping[str, TopicRights]:
    """Asks a broker, and returns the service's rights to each of the topics. Raises KafkaError if
    the answer has another error than a missing topic or a missing right.
    """
    answer = (await admin._send_request(RightsRequest(topics))).to_object()
    return {
        each["topic"]: rights_of(each["error_code"], each["operations"])
        for each in answer["topics"]
    }


def rights_of(error_code: int, operations: int) -> TopicRights:
    """Returns what a broker's answer says about one topic. `operations` is a number with one bit
    for each operation on the topic that is allowed.
    """
    error = for_code(error_code)
    if error is UnknownTopicOrPartitionError:
        return TopicRights(is_missing=True)
    if error is TopicAuthorizationFailedError:
        return TopicRights()
    if error is not NoError and operations < 0:
        raise error()
    return TopicRights(
        may_read=bool(operations & 1 << READ),
        may_write=bool(operations & 1 << WRITE),
    )
