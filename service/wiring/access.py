"""Settings as the clients of the database and of Kafka take them."""

from ..database.session import DatabaseLimits
from ..kafka.clients import KafkaAccess
from ..settings import KafkaSettings, Settings


def database_limits(settings: Settings) -> DatabaseLimits:
    return DatabaseLimits(
        connections_max=settings.database_connections_max,
        connect_seconds_max=settings.database_connect_seconds_max,
        statement_ms_max=settings.database_statement_ms_max,
        lock_wait_ms_max=settings.database_lock_wait_ms_max,
        idle_in_transaction_ms_max=settings.database_idle_in_transaction_ms_max,
        reply_seconds_max=settings.database_reply_seconds_max,
    )


def kafka_access(settings: KafkaSettings) -> KafkaAccess:
    password = settings.kafka_password
    return KafkaAccess(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        protocol=settings.kafka_protocol,
        mechanism=settings.kafka_mechanism,
        user=settings.kafka_user,
        password=None if password is None else password.get_secret_value(),
        ca_file=settings.kafka_ca_file,
        certificate_file=settings.kafka_certificate_file,
        key_file=settings.kafka_key_file,
        request_timeout_ms=settings.kafka_request_timeout_ms,
        metadata_max_age_ms=settings.kafka_metadata_max_age_ms,
    )
