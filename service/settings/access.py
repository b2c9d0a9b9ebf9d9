"""Settings of the servers that the service reaches: Kafka, PostgreSQL and SFTP."""

from typing import Self

from pydantic import Field, SecretStr, model_validator

from .values import Group, KafkaProtocol, ReadableFile, SaslMechanism, Servers

# A session shows a sign of life more often than the shortest limit that can be set.
IDLE_IN_TRANSACTION_MS_MIN = 1_000


class KafkaAccess(Group):
    """Settings that say how to reach the Kafka brokers, and the time limits of every Kafka
    client.
    """

    kafka_bootstrap_servers: Servers = Field(validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    topic_prefix: str = Field("library.", pattern=r"^[A-Za-z0-9._-]{0,100}$")
    kafka_protocol: KafkaProtocol = "PLAINTEXT"
    kafka_mechanism: SaslMechanism = "SCRAM-SHA-512"
    kafka_user: str | None = None
    kafka_password: SecretStr | None = None
    kafka_ca_file: ReadableFile | None = None  # without one the system's authorities
    kafka_certificate_file: ReadableFile | None = None  # the client's own, for mutual TLS
    kafka_key_file: ReadableFile | None = None
    kafka_key_password: SecretStr | None = None
    kafka_request_timeout_ms: int = Field(5_000, ge=1_000, le=60_000)
    # A hung broker still accepts connections: only the age of the metadata bounds that.
    kafka_metadata_max_age_ms: int = Field(5_000, ge=500, le=300_000)

    @model_validator(mode="after")
    def _credentials_are_complete(self) -> Self:
        named = self.kafka_user is not None and self.kafka_password is not None
        if self.kafka_protocol.startswith("SASL") and not named:
            raise ValueError(
                "BURSAR_KAFKA_USER and BURSAR_KAFKA_PASSWORD: both are required with this protocol"
            )
        if (self.kafka_certificate_file is None) != (self.kafka_key_file is None):
            raise ValueError(
                "BURSAR_KAFKA_CERTIFICATE_FILE and BURSAR_KAFKA_KEY_FILE: both or none"
            )
        return self


class SftpSettings(Group):
    """Settings with which `bursar-bridge deliver` logs in to an SFTP server."""

    sftp_key_file: ReadableFile | None = None
    sftp_known_hosts_file: ReadableFile | None = None  # without one the user's own list
    sftp_password: SecretStr | None = None


class DatabaseLimits(Group):
    """Settings for the number of database connections of a process and the time limits of its
    database sessions.
    """

    database_connections_max: int = Field(8, ge=4, le=200)
    database_connect_seconds_max: int = Field(10, ge=1, le=120)
    database_statement_ms_max: int = Field(30_000, ge=1_000, le=600_000)
    database_lock_wait_ms_max: int = Field(5_000, ge=100, le=60_000)
    database_idle_in_transaction_ms_max: int = Field(
        8_000, ge=IDLE_IN_TRANSACTION_MS_MIN, le=50_000
    )
    database_reply_seconds_max: int = Field(40, ge=2, le=900)
