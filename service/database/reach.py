"""Why a database cannot be used, in words: with its address, the user and the database.

The password is in no text. What the server says about a login is quoted, for it names roles,
databases and hosts alone; of any later error only the class is told, because its text may hold
personal data.
"""

import contextlib
import errno
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import asyncpg

from ..runtime.failures import DATABASE_FAILURES
from ..runtime.problems import OperatorError

_DEFAULT_PORT = 5432
_ERRNO = re.compile(r"\[Errno (\d+)\]")


class DatabaseUnusable(OperatorError):
    """The text says why, and for which address, user and database."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a database URL names."""

    address: str
    user: str
    database: str


@contextlib.contextmanager
def in_words(database_url: str) -> Iterator[None]:
    """For the first contact with a database: every failure comes out as DatabaseUnusable."""
    try:
        yield
    except DATABASE_FAILURES as problem:
        raise DatabaseUnusable(why_unusable(problem, database_url)) from None


def target_of(database_url: str) -> Target:
    parts = urlsplit(database_url)
    address = parts.netloc.rpartition("@")[2] or "the local socket"
    if not re.search(r":\d+$", address) and parts.netloc:
        address = f"{address}:{_DEFAULT_PORT}"
    user = unquote(parts.username) if parts.username else "of the system"
    return Target(address, user, unquote(parts.path.removeprefix("/")))


def why_unusable(problem: Exception, database_url: str) -> str:
    """One line about a failure to connect, or to do the first work with the connection."""
    target = target_of(database_url)
    login = f"user {target.user}, database {target.database} at {target.address}"
    match problem:
        case asyncpg.ClientConfigurationError():
            return f"DATABASE_URL: cannot be used: {_without_password(problem, database_url)}"
        case asyncpg.PostgresError() | asyncpg.InterfaceError() | asyncpg.InternalClientError():
            return f"{_why_login_failed(problem)}: {login}"
    return f"{_why_unreachable(problem)}: {login}"


# The first class that fits counts: a wrong password is an invalid authorization, too.
_LOGIN_FAILURES: tuple[tuple[type[Exception], str], ...] = (
    (asyncpg.InvalidPasswordError, "the password is wrong, or there is no such user"),
    (asyncpg.InvalidCatalogNameError, "there is no such database"),
    (asyncpg.InvalidAuthorizationSpecificationError, "the server refuses the user: {}"),
    (asyncpg.InsufficientPrivilegeError, "the server refuses the user: {}"),
    (asyncpg.TooManyConnectionsError, "the server has no connection left"),
    (asyncpg.CannotConnectNowError, "the server is starting, stopping or recovering"),
    (asyncpg.PostgresConnectionError, "the connection was lost"),
    (asyncpg.InterfaceError, "the connection was lost"),
    (asyncpg.InternalClientError, "the connection was lost"),
)


def _why_login_failed(problem: Exception) -> str:
    for sort, words in _LOGIN_FAILURES:
        if isinstance(problem, sort):
            return words.format(problem.args[0] if problem.args else "")
    state = getattr(problem, "sqlstate", None)
    return f"the server refuses: {type(problem).__name__} {state}"


def _why_unreachable(problem: Exception) -> str:
    """The same of errors of the network, which come before the server says anything."""
    match problem:
        case socket.gaierror():
            return "the host cannot be resolved"
        case ssl.SSLCertVerificationError():
            return f"the server's certificate is not accepted: {problem.verify_message}"
        case ssl.SSLError():
            reason = getattr(problem, "reason", None)  # absent where Python raised it
            return f"there is no TLS session: {reason or 'it fails'}"
        case ConnectionError() if "SSL" in str(problem):
            return "the server does not offer TLS, which DATABASE_URL asks for"
        case TimeoutError():
            return "the server does not answer"
        case OSError() if _connection_refused(problem):
            return "nobody listens there"
        case OSError():
            return f"the server cannot be reached: {problem.strerror or type(problem).__name__}"
    return type(problem).__name__


def _connection_refused(problem: OSError) -> bool:
    """A name with several addresses fails with one error that lists all of them in its text."""
    numbers = {problem.errno} if problem.errno else set(map(int, _ERRNO.findall(str(problem))))
    return numbers == {errno.ECONNREFUSED}


def _without_password(problem: Exception, database_url: str) -> str:
    password = urlsplit(database_url).password
    text = str(problem).splitlines()[0] if str(problem) else ""
    if not text or (password and (password in text or unquote(password) in text)):
        return type(problem).__name__
    return text
