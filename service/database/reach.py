"""Makes error messages that say why a database cannot be used, with its address, user and database
name.

No message contains the password. PostgreSQL's message about a failed login is quoted, because it
names only roles, databases and hosts. For an error after the login, only the class of the error is
named, because PostgreSQL's message may hold personal data.
"""

import contextlib
import errno
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import asyncpg

from ..runtime.failures import DATABASE_FAILURES, LOGIN_FAILED
from ..runtime.problems import OperatorError
from .session import Connection

_DEFAULT_PORT = 5432
_ERRNO = re.compile(r"\[Errno (\d+)\]")


class DatabaseUnusable(OperatorError):
    """The database cannot be reached or used; the message says why, and names its address, user and
    database.
    """


class LoginFailed(OperatorError):
    """The database server answers, but refuses the login of the service."""


@dataclass(frozen=True, slots=True)
class Target:
    """The address, user and database that a database URL names, as error messages show them."""

    address: str
    user: str
    database: str


@contextlib.contextmanager
def in_words(database_url: str) -> Iterator[None]:
    """Turns every database error that the `with` block raises into DatabaseUnusable; for the first
    contact with a database.
    """
    try:
        yield
    except DATABASE_FAILURES as problem:
        raise DatabaseUnusable(why_unusable(problem, database_url)) from None


def target_of(database_url: str) -> Target:
    """Returns the address, the user and the database that a URL names, without the password."""
    parts = urlsplit(database_url)
    address = parts.netloc.rpartition("@")[2] or "the local socket"
    if not re.search(r":\d+$", address) and parts.netloc:
        address = f"{address}:{_DEFAULT_PORT}"
    user = unquote(parts.username) if parts.username else "of the system"
    return Target(address, user, unquote(parts.path.removeprefix("/")))


def why_unusable(problem: Exception, database_url: str) -> str:
    """Returns a one-line message about an error that occurred while connecting to the database, or
    during the first work with the connection.

    The first row of `_REASONS` that fits the error gives the reason. An error of the network means
    that the server has not answered at all; an error of PostgreSQL, that the server has answered
    and refused.
    """
    if isinstance(problem, asyncpg.ClientConfigurationError):
        return f"DATABASE_URL: cannot be used: {_without_password(problem, database_url)}"
    target = target_of(database_url)
    place = f"user {target.user}, database {target.database} at {target.address}"
    return f"{reason_of(problem)}: {place}"


def reason_of(problem: Exception) -> str:
    """Returns in a few words what an error of the database means, from the first row of `_REASONS`
    that fits it.
    """
    for kind, is_meant, text in _REASONS:
        if isinstance(problem, kind) and is_meant(problem):
            return text.format(_detail_of(problem))
    return type(problem).__name__


async def is_standby(connection: Connection) -> bool:
    """Whether the PostgreSQL server is a standby, which only follows another server and refuses
    writes.
    """
    answer: bool = await connection.fetchval("SELECT pg_is_in_recovery()")
    return answer


def _detail_of(problem: Exception) -> str:
    """What a reason may quote; of an error after the login that is no more than its class."""
    match problem:
        case ssl.SSLCertVerificationError():
            return problem.verify_message
        case ssl.SSLError():
            return getattr(problem, "reason", None) or "it fails"  # absent where Python raised it
        case OSError():
            return problem.strerror or type(problem).__name__
        case asyncpg.PostgresError() if isinstance(problem, LOGIN_FAILED):
            return str(problem.args[0]) if problem.args else ""
    return f"{type(problem).__name__} {getattr(problem, 'sqlstate', None)}"


def _connection_refused(problem: Exception) -> bool:
    """A name with several addresses fails with one error that lists all of them in its text."""
    number = getattr(problem, "errno", None)
    numbers = {number} if number else set(map(int, _ERRNO.findall(str(problem))))
    return numbers == {errno.ECONNREFUSED}


def _always(_problem: Exception) -> bool:
    return True


# The first row that fits counts: a wrong password is an invalid authorization, too.
_REASONS: tuple[tuple[type[Exception], Callable[[Exception], bool], str], ...] = (
    (asyncpg.InvalidPasswordError, _always, "the password is wrong, or there is no such user"),
    (asyncpg.InvalidCatalogNameError, _always, "there is no such database"),
    (asyncpg.InvalidAuthorizationSpecificationError, _always, "the server refuses the user: {}"),
    (asyncpg.InsufficientPrivilegeError, _always, "the server refuses the user: {}"),
    (asyncpg.TooManyConnectionsError, _always, "the server has no connection left"),
    (asyncpg.CannotConnectNowError, _always, "the server is starting, stopping or recovering"),
    (asyncpg.DiskFullError, _always, "the disk of the server is full"),
    (asyncpg.ReadOnlySQLTransactionError, _always, "the server only reads: is it a standby?"),
    (asyncpg.PostgresConnectionError, _always, "the connection was lost"),
    (asyncpg.InterfaceError, _always, "the connection was lost"),
    (asyncpg.InternalClientError, _always, "the connection was lost"),
    (asyncpg.PostgresError, _always, "the server refuses: {}"),
    (socket.gaierror, _always, "the host cannot be resolved"),
    (ssl.SSLCertVerificationError, _always, "the server's certificate is not accepted: {}"),
    (ssl.SSLError, _always, "there is no TLS session: {}"),
    (
        ConnectionError,
        lambda problem: "SSL" in str(problem),
        "the server does not offer TLS, which DATABASE_URL asks for",
    ),
    (TimeoutError, _always, "the server does not answer"),
    (OSError, _connection_refused, "nobody listens there"),
    (OSError, _always, "the server cannot be reached: {}"),
)


def _without_password(problem: Exception, database_url: str) -> str:
    password = urlsplit(database_url).password
    text = str(problem).splitlines()[0] if str(problem) else ""
    if not text or (password and (password in text or unquote(password) in text)):
        return type(problem).__name__
    return text
