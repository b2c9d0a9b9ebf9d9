"""A broker with certificates, passwords and access lists, which change while it runs.

Its clients come through a listener of their own. Whoever comes through the other one, without a
password, may do everything: so tests look at topics and change rights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
)
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.admin._scram import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.support.services.authority import Authority
from tests.support.services.cache import Tools
from tests.support.services.kafka import LocalKafka, alone
from tests.support.services.process import free_ports

SECONDS_MAX = 30
USER, PASSWORD = "bridge", "correct horse"
LISTENER = "listener.name.client"
ITERATIONS = 4096  # the fewest that Kafka takes
# A connection that has lasted so long is ended: then certificate and password count as they are.
CONNECTION_MS = 3_000
CLIENTS_BY_PASSWORD = frozenset({"SASL_PLAINTEXT", "SASL_SSL"})


class SecuredBroker:
    """A broker whose clients speak `protocol`. With `asks_clients`, they need a certificate."""

    def __init__(
        self, tools: Tools, folder: Path, protocol: str = "SASL_SSL", *, asks_clients: bool = False
    ) -> None:
        self.protocol = protocol
        self.authority = Authority(folder)
        self.key_store = self.authority.key_store("store")
        self._client_port, node = free_ports(1)[0], alone()
        inside = f"PLAINTEXT://127.0.0.1:{node.port}"
        outside = f"CLIENT://localhost:{self._client_port}"
        settings = {
            "listeners": f"{inside},{outside},CONTROLLER://127.0.0.1:{node.controllers[0]}",
            "advertised.listeners": f"{inside},{outside}",
            "listener.security.protocol.map": (
                f"PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,CLIENT:{protocol}"
            ),
            "inter.broker.listener.name": "PLAINTEXT",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": "User:ANONYMOUS",
            f"{LISTENER}.ssl.keystore.type": "PEM",
            f"{LISTENER}.ssl.keystore.location": str(self.key_store),
            f"{LISTENER}.ssl.truststore.type": "PEM",
            f"{LISTENER}.ssl.truststore.location": str(self.authority.file),
            f"{LISTENER}.ssl.client.auth": "required" if asks_clients else "none",
            f"{LISTENER}.sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512,PLAIN",
            **_logins(),
            f"{LISTENER}.connections.max.reauth.ms": str(CONNECTION_MS),
        }
        self.kafka = LocalKafka(tools, settings, node=node)
        # A client that may do everything.
        self.admin = AdminClient(
            {"bootstrap.servers": self.kafka.bootstrap_servers(), "log_level": 0}
        )

    @property
    def address(self) -> str:
        """Where clients connect."""
        return f"localhost:{self._client_port}"

    def settings(self) -> dict[str, str]:
        """The service's settings for this broker."""
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": self.address,
            "BURSAR_KAFKA_PROTOCOL": self.protocol,
            "BURSAR_KAFKA_CA_FILE": str(self.authority.file),
        }
        if self.protocol in CLIENTS_BY_PASSWORD:
            settings |= {"BURSAR_KAFKA_USER": USER, "BURSAR_KAFKA_PASSWORD": PASSWORD}
        return settings

    def start(self) -> None:
        """Starts the broker, with the service's user."""
        self.kafka.start()
        self.set_password(PASSWORD)

    def set_password(self, password: str) -> None:
        """Changes the password of the service's user, for both mechanisms."""
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            change = UserScramCredentialUpsertion(
                USER, ScramCredentialInfo(mechanism, ITERATIONS), password.encode()
            )
            futures = self.admin.alter_user_scram_credentials([change])
            futures[USER].result(SECONDS_MAX)

    def show(self, key_store: Path) -> None:
        """From the next connection on, clients see another certificate."""
        setting = f"{LISTENER}.ssl.keystore.location"
        entry = ConfigEntry(setting, str(key_store), incremental_operation=AlterConfigOpType.SET)
        number = str(self.kafka.node.number)
        resource = ConfigResource(ResourceType.BROKER, number, incremental_configs=[entry])
        self.admin.incremental_alter_configs([resource])[resource].result(SECONDS_MAX)

    def allow(self, rights: list[AclBinding]) -> None:
        """Gives rights."""
        for future in self.admin.create_acls(rights).values():
            future.result(SECONDS_MAX)

    def withdraw(self, rights: list[AclBinding]) -> None:
        """Takes rights away again."""
        filters = [_filter_of(right) for right in rights]
        for future in self.admin.delete_acls(filters).values():
            assert future.result(SECONDS_MAX), "there was such a right"

    @contextmanager
    def without(self, *rights: AclBinding) -> Iterator[None]:
        """The rights are missing inside the block."""
        self.withdraw([*rights])
        try:
            yield
        finally:
            self.allow([*rights])

    def close(self) -> None:
        """Ends the broker."""
        self.kafka.close()


def topic_right(topic: str, operation: AclOperation, user: str = USER) -> AclBinding:
    """The right of a user to do something with a topic."""
    return _right(ResourceType.TOPIC, topic, operation, user)


def group_right(group: str, user: str = USER) -> AclBinding:
    """The right of a user to read as a member of a group."""
    return _right(ResourceType.GROUP, group, AclOperation.READ, user)


def _right(kind: ResourceType, name: str, operation: AclOperation, user: str) -> AclBinding:
    literal, allow = ResourcePatternType.LITERAL, AclPermissionType.ALLOW
    return AclBinding(kind, name, literal, f"User:{user}", "*", operation, allow)


def _filter_of(right: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        right.restype,
        right.name,
        right.resource_pattern_type,
        right.principal,
        right.host,
        right.operation,
        right.permission_type,
    )


def _logins() -> dict[str, str]:
    """How passwords are checked, for each mechanism; that of PLAIN does not change."""
    common = "org.apache.kafka.common.security"
    scram = f"{common}.scram.ScramLoginModule required;"
    plain = f'{common}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
    modules = {"scram-sha-256": scram, "scram-sha-512": scram, "plain": plain}
    return {f"{LISTENER}.{name}.sasl.jaas.config": module for name, module in modules.items()}
