"""Why the database or Kafka cannot be used: in words, with user, database and address."""

from __future__ import annotations

import ssl

import asyncpg
import pytest
from aiokafka.errors import IllegalStateError, KafkaConnectionError

from service.cli.problems import error_texts, is_operator_error
from service.database.reach import why_unusable
from service.database.upgrade import BrokenMigration
from service.kafka.clients import why_unusable as why_kafka_is_unusable

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
            "KafkaConnectionError: Connection at k:9092 closed",
            "the broker ends the connection: does BURSAR_KAFKA_PROTOCOL fit it?",
        ),
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed",
            (
                "the broker's certificate is not accepted "
                "([SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed)"
            ),
        ),
        (
            "[SSL: WRONG_VERSION_NUMBER] wrong version number",
            "there is no TLS session ([SSL: WRONG_VERSION_NUMBER] wrong version number)",
        ),
        (
            "[Error 58] SaslAuthenticationFailed: Invalid username or password",
            (
                "the broker refuses the user "
                "([Error 58] SaslAuthenticationFailed: Invalid username or password)"
            ),
        ),
        ("something new", "something new"),
    ],
)
def test_kafka_that_cannot_be_used_is_told_in_words(cause: str, words: str) -> None:
    logged = f'Unable connect to "k:9092": {cause}'
    assert why_kafka_is_unusable(RuntimeError("x"), logged) == f"{words}: Kafka at k:9092"


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
