"""Why the database or Kafka cannot be used: in words, with user, database and address."""

from __future__ import annotations

import logging
import ssl
import time

import asyncpg
import pytest
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    IllegalStateError,
    KafkaConnectionError,
    TopicAuthorizationFailedError,
)

from service.cli.problems import error_texts, is_operator_error
from service.database.reach import why_unusable
from service.database.upgrade import BrokenMigration
from service.kafka.causes import LastProblem, missing_right
from service.kafka.causes import why_unusable as why_kafka_is_unusable
from service.runtime.failures import ConsumerLost

SECRET = "Geheim-1"
URL = f"postgresql://library:{SECRET}@db.example:6432/bursar"
LOGIN = "user library, database bursar at db.example:6432"


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (
            asyncpg.InvalidPasswordError('password authentication failed for user "library"'),
            "the password is wrong, or there is no such user",
        ),
        (asyncpg.InvalidCatalogNameError("absent"), "there is no such database"),
        (
            asyncpg.InvalidAuthorizationSpecificationError('role "library" does not exist'),
            'the server refuses the user: role "library" does not exist',
        ),
        (
            asyncpg.InsufficientPrivilegeError("permission denied for schema public"),
            "the server refuses the user: permission denied for schema public",
        ),
        (asyncpg.TooManyConnectionsError("many"), "the server has no connection left"),
        (asyncpg.CannotConnectNowError("x"), "the server is starting, stopping or recovering"),
        (asyncpg.DiskFullError("of /data"), "the disk of the server is full"),
        (asyncpg.ReadOnlySQLTransactionError("x"), "the server only reads: is it a standby?"),
        (asyncpg.ConnectionDoesNotExistError("x"), "the connection was lost"),
        (asyncpg.InterfaceError("connection is closed"), "the connection was lost"),
        (
            asyncpg.PostgresSyntaxError("syntax error at a value"),
            "the server refuses: PostgresSyntaxError 42601",
        ),
        (ConnectionRefusedError(111, "Connection refused"), "nobody listens there"),
        (
            OSError(
                "Multiple exceptions: [Errno 111] Connect call failed ('::1', 1, 0, 0), "
                "[Errno 111] Connect call failed ('127.0.0.1', 1)"
            ),
            "nobody listens there",
        ),
        (
            OSError("Multiple exceptions: [Errno 113] No route, [Errno 111] Connect call failed"),
            "the server cannot be reached: OSError",
        ),
        (OSError(113, "No route to host"), "the server cannot be reached: No route to host"),
        (TimeoutError(), "the server does not answer"),
        (ssl.SSLError(1, "x"), "there is no TLS session: it fails"),
        (
            ConnectionError('PostgreSQL server at "db.example" rejected SSL upgrade'),
            "the server does not offer TLS, which DATABASE_URL asks for",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_database_that_cannot_be_used_is_told_in_words(problem: Exception, words: str) -> None:
    assert why_unusable(problem, URL) == f"{words}: {LOGIN}"


def test_the_password_is_in_no_text() -> None:
    text = why_unusable(asyncpg.ClientConfigurationError(f"invalid DSN: {SECRET}"), URL)
    assert text == "DATABASE_URL: cannot be used: ClientConfigurationError"
    text = why_unusable(asyncpg.ClientConfigurationError("root certificate is absent"), URL)
    assert text == "DATABASE_URL: cannot be used: root certificate is absent"


@pytest.mark.parametrize(
    ("url", "login"),
    [
        ("postgresql://h/bursar", "user of the system, database bursar at h:5432"),
        ("postgresql://a%40b:x@[::1]:5/d", "user a@b, database d at [::1]:5"),
        ("postgresql://a:x@h1:1,h2:2/d", "user a, database d at h1:1,h2:2"),
        ("postgresql:///d", "user of the system, database d at the local socket"),
    ],
)
def test_every_form_of_a_url_has_its_words(url: str, login: str) -> None:
    assert why_unusable(TimeoutError(), url).endswith(login)


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ("[Errno 111] Connect call failed ('127.0.0.1', 1)", "nobody listens there"),
        ("[Errno -2] Name or service not known", "the host cannot be resolved"),
        ("", "the broker does not answer: does BURSAR_KAFKA_PROTOCOL fit it?"),
        (
            "[Error 7] RequestTimedOutError",
            "the broker does not answer: does BURSAR_KAFKA_PROTOCOL fit it?",
        ),
        (
            "KafkaConnectionError: Connection at k:9092 closed",
            (
                "the broker ends the connection: does BURSAR_KAFKA_PROTOCOL fit it, "
                "or does it ask for BURSAR_KAFKA_CERTIFICATE_FILE?"
            ),
        ),
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed",
            (
                "the broker's certificate is not accepted "
                "([SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed): "
                "BURSAR_KAFKA_CA_FILE must have the authority that has signed it"
            ),
        ),
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired",
            "the broker's certificate has expired: it has to be renewed at the broker",
        ),
        (
            "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required",
            (
                "the broker does not accept our certificate "
                "([SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required): "
                "see BURSAR_KAFKA_CERTIFICATE_FILE"
            ),
        ),
        (
            "[SSL: WRONG_VERSION_NUMBER] wrong version number",
            (
                "there is no TLS session ([SSL: WRONG_VERSION_NUMBER] wrong version number): "
                "does BURSAR_KAFKA_PROTOCOL fit the broker?"
            ),
        ),
        (
            "[Error 58] SaslAuthenticationFailed: Invalid username or password",
            (
                "the broker refuses the user "
                "([Error 58] SaslAuthenticationFailed: Invalid username or password): "
                "see BURSAR_KAFKA_USER, BURSAR_KAFKA_PASSWORD and BURSAR_KAFKA_MECHANISM"
            ),
        ),
        ("something new", "something new"),
    ],
)
def test_kafka_that_cannot_be_used_is_told_in_words(cause: str, words: str) -> None:
    logged = f'Unable connect to "k:9092": {cause}'
    assert why_kafka_is_unusable(RuntimeError("x"), logged) == f"{words}: Kafka at k:9092"
    logged = f"Unable to request metadata from node with id 2: {cause}"
    assert why_kafka_is_unusable(RuntimeError("x"), logged) == f"{words}: broker 2"


def test_a_right_that_is_missing_is_named() -> None:
    of_group = GroupAuthorizationFailedError("g")
    words = "the brokers do not let the service read in its consumer group"
    assert why_kafka_is_unusable(of_group, "whatever was logged") == words
    lost = ConsumerLost("GroupAuthorizationFailedError")
    lost.__cause__ = of_group
    assert missing_right(lost) == words
    for argument in ("t", {"t"}):
        of_topic = TopicAuthorizationFailedError(argument)
        assert missing_right(of_topic) == "the brokers do not let the service use topic t"
    assert missing_right(RuntimeError("x")) is None


def test_only_what_failed_since_the_last_answer_is_a_cause() -> None:
    last = LastProblem()
    before = time.monotonic_ns()
    assert last.cause_since(before) is None
    text = 'Unable connect to "k:9092": [Errno 111] Connect call failed'
    last.emit(logging.LogRecord("aiokafka", logging.ERROR, "f", 1, text, (), None))
    last.emit(logging.LogRecord("aiokafka", logging.ERROR, "f", 1, "something else", (), None))
    for unclear in ('Unable connect to "k:9092": ', 'Unable to request metadata from "k:9092": x'):
        last.emit(logging.LogRecord("aiokafka", logging.WARNING, "f", 1, unclear, (), None))
    last.emit(logging.LogRecord("aiokafka", logging.ERROR, "f", 1, "something else", (), None))
    assert last.text == "something else"
    assert last.cause_since(before) == "nobody listens there: Kafka at k:9092"
    assert last.cause_since(time.monotonic_ns()) is None


def test_what_the_client_says_otherwise_is_told_as_it_is() -> None:
    assert why_kafka_is_unusable(RuntimeError("x"), None) == "x"
    assert why_kafka_is_unusable(RuntimeError("x"), "new words") == "x (new words)"


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        (
            asyncpg.PostgresSyntaxError("syntax error at Roe, Jane"),
            "the database refuses a statement: PostgresSyntaxError: 42601",
        ),
        (
            asyncpg.ConnectionDoesNotExistError("x"),
            "the database was lost, or is busy or full: ConnectionDoesNotExistError: 08003",
        ),
        (
            asyncpg.DiskFullError("x"),
            "the database was lost, or is busy or full: DiskFullError: 53100",
        ),
        (
            BrokenMigration("0001.sql", "", asyncpg.PostgresSyntaxError("at Roe, Jane")),
            "a fault of this program: 0001.sql: PostgresSyntaxError 42601",
        ),
        (FileNotFoundError(2, "No such file or directory", "a"), "a: No such file or directory"),
        (
            KafkaConnectionError("closed"),
            (
                "Kafka was lost, or refuses a request: KafkaConnectionError: "
                "KafkaConnectionError: closed"
            ),
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_fails_later_is_told_by_its_sort(problem: Exception, line: str) -> None:
    assert is_operator_error(problem)
    assert error_texts(problem) == [line]


def test_a_bug_keeps_its_traceback() -> None:
    assert not is_operator_error(IllegalStateError("x"))
    assert not is_operator_error(ValueError("x"))
