"""Rights to a test's topic, taken away from everybody and given back.

Needs a broker with an authorizer, as all brokers of the tests have it.
"""

from __future__ import annotations

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

SECONDS_MAX = 30


def deny_reading(admin: AdminClient, topic: str) -> None:
    """Nobody may read the topic any more; to write to it, and to delete it, stays allowed."""
    _allow_only(admin, topic, AclOperation.WRITE, AclOperation.DESCRIBE, AclOperation.DELETE)


def allow_reading(admin: AdminClient, topic: str) -> None:
    """Everybody may read the topic again."""
    _allow_only(admin, topic, AclOperation.READ)


def deny_writing(admin: AdminClient, topic: str) -> None:
    """Nobody may write to the topic any more; to read and to delete it stays allowed."""
    _allow_only(admin, topic, AclOperation.READ, AclOperation.DESCRIBE, AclOperation.DELETE)


def allow_writing(admin: AdminClient, topic: str) -> None:
    """Everybody may write to the topic again."""
    _allow_only(admin, topic, AclOperation.WRITE)


def deny_describing_settings(admin: AdminClient, topic: str) -> None:
    """Nobody may see the settings of the topic any more; everything else stays allowed."""
    rights = (AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE, AclOperation.DELETE)
    _allow_only(admin, topic, *rights)


def _allow_only(admin: AdminClient, topic: str, *rights: AclOperation) -> None:
    """Where a topic has rights of its own, all others are denied."""
    for right in rights:
        binding = AclBinding(
            ResourceType.TOPIC,
            topic,
            ResourcePatternType.LITERAL,
            "User:*",
            "*",
            right,
            AclPermissionType.ALLOW,
        )
        admin.create_acls([binding])[binding].result(SECONDS_MAX)
