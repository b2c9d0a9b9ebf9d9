"""Delivers into a folder on an SFTP server."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import unquote, urlsplit

import asyncssh

from ..export.batch_file import MANIFESTS, hidden_name
from ..runtime.problems import OperatorError
from .target import SCHEME, TargetUnavailable, TargetUnusable

R = TypeVar("R")

CONNECT_SECONDS_MAX: Final = 20
REPLY_SECONDS_MAX: Final = 120
LIST_SECONDS_MAX: Final = 300
KEEPALIVE_SECONDS: Final = 15
CHUNK_BYTES: Final = 256 * 1024
# For a person to mend. Any other answer may be over later: a full disk is a mere "failure".
FOR_A_PERSON: Final = (
    asyncssh.PermissionDenied,
    asyncssh.HostKeyNotVerifiable,
    asyncssh.SFTPPermissionDenied,
    asyncssh.SFTPNoSuchFile,
    asyncssh.SFTPNoSuchPath,
    asyncssh.SFTPNotADirectory,
    asyncssh.SFTPWriteProtect,
    asyncssh.SFTPOpUnsupported,
)
LOST: Final = (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection)


@dataclass(frozen=True, slots=True)
class SftpAccess:
    """How to log in. `known_hosts_file` must have the server's key; if it is None, the user's own
    list must.
    """

    host: str
    port: int
    user: str
    folder: str
    key_file: Path | None = None
    known_hosts_file: Path | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """Returns `sftp://user@host:port`, the URL of the server without the folder."""
        return f"{SCHEME}://{self.user}@{self.host}:{self.port}"


def sftp_access(
    url: str, key_file: Path | None, known_hosts_file: Path | None, password: str | None
) -> SftpAccess:
    """Reads host, port, user and folder from `url`, which is `sftp://user@host:port/folder`. Raises
    OperatorError.

    In a URL, the folder `/~/folder` stands for `folder` in the user's home on the server.
    """
    rule = "must be sftp://user@host:port/folder, without a password"
    try:
        parts = urlsplit(url)
        sound = parts.scheme == SCHEME and parts.hostname and parts.username and parts.path
        port = parts.port or 22
    except ValueError:
        raise OperatorError(f"the target {rule}") from None
    if not sound or parts.password is not None or parts.query or parts.fragment:
        raise OperatorError(f"the target {rule}")
    assert parts.hostname is not None
    assert parts.username is not None
    folder = unquote(parts.path).removeprefix("/~/") or "."
    user = unquote(parts.username)
    return SftpAccess(parts.hostname, port, user, folder, key_file, known_hosts_file, password)


class Sftp:
    """Delivers into a folder on a server, through one SSH connection, which `open` makes anew."""

    def __init__(self, access: SftpAccess) -> None:
        self._access = access
        self._connection: asyncssh.SSHClientConnection | None = None
        self._client: asyncssh.SFTPClient | None = None

    async def open(self) -> None:
        """Connects, checks that the folder exists, and creates its subfolder `manifests` if
        necessary.
        """
        await self.close()
        await self._answered(self._connect(), "", CONNECT_SECONDS_MAX)
        folder = self._access.folder
        client = self._opened()
        if not await self._answered(client.isdir(folder), folder):
            raise TargetUnusable(f"{self._access.address}: the folder must exist")
        below = self._path(MANIFESTS)
        if not await self._answered(client.isdir(below), below):
            await self._answered(client.mkdir(below), below)

    async def close(self) -> None:
        """Closes the SSH connection, if there is one."""
        connection, self._connection, self._client = self._connection, None, None
        if connection is not None:
            connection.abort()
            with suppress(TimeoutError):
                await asyncio.wait_for(connection.wait_closed(), KEEPALIVE_SECONDS)

    async def names(self) -> frozenset[str] | None:
        """Returns the names of all files, also of those in `manifests`; None if the server refuses
        to list them.
        """
        names: set[str] = set()
        for folder in (self._access.folder, self._path(MANIFESTS)):
            listed = await self._listed(folder)
            if listed is None:
                return None
            names |= listed
        return frozenset(names)

    async def _listed(self, folder: str) -> set[str] | None:
        """The names in a folder; None if the server refuses to list it or takes too long."""
        try:
            listed = await asyncio.wait_for(self._opened().listdir(folder), LIST_SECONDS_MAX)
        except (asyncssh.Error, OSError, TimeoutError) as problem:
            is_answer = isinstance(problem, asyncssh.SFTPError | TimeoutError)
            if is_answer and not isinstance(problem, LOST):
                return None
            raise TargetUnavailable(f"{self._access.address}: {type(problem).__name__}") from None
        return {str(name) for name in listed}

    async def read(self, name: str) -> bytes | None:
        """Returns the bytes of the file; None if there is no such file."""
        path = self._path(name)
        if not await self._answered(self._opened().exists(path), path):
            return None
        return await self._answered(self._read(path), path)

    async def write(self, name: str, data: bytes) -> None:
        """Writes the file under a hidden name, and syncs it to disk if the server can."""
        path = self._path(_hidden(name))
        await self._answered(self._write(path, data), path)

    async def has_hidden(self, name: str) -> bool:
        """Returns whether the file exists under its hidden name, because it was not renamed yet."""
        path = self._path(_hidden(name))
        return await self._answered(self._opened().exists(path), path)

    async def rename_into_place(self, name: str) -> None:
        """Renames the file that `write` has written from its hidden name to `name`."""
        # The plain rename of the protocol: unlike that of POSIX it never replaces a file.
        path = self._path(name)
        await self._answered(self._opened().rename(self._path(_hidden(name)), path), path)

    async def _connect(self) -> None:
        access = self._access
        self._connection = await asyncssh.connect(
            access.host,
            access.port,
            username=access.user,
            password=access.password,
            client_keys=() if access.key_file is None else [str(access.key_file)],
            known_hosts=() if access.known_hosts_file is None else str(access.known_hosts_file),
            agent_path=None,
            config=None,
            connect_timeout=CONNECT_SECONDS_MAX,
            login_timeout=CONNECT_SECONDS_MAX,
            keepalive_interval=KEEPALIVE_SECONDS,
        )
        self._client = await self._connection.start_sftp_client()

    async def _read(self, path: str) -> bytes:
        async with self._opened().open(path, "rb") as file:
            data: bytes = await file.read()
        return data

    async def _write(self, path: str, data: bytes) -> None:
        async with self._opened().open(path, "wb") as file:
            for start in range(0, len(data), CHUNK_BYTES):
                await file.write(data[start : start + CHUNK_BYTES], start)
            with suppress(asyncssh.SFTPOpUnsupported):  # not every server can
                await file.fsync()
        size = (await self._opened().stat(path)).size
        if size != len(data):
            raise TargetUnavailable(
                f"{self._access.address}: the file has another size than was written"
            )

    def _opened(self) -> asyncssh.SFTPClient:
        if self._client is None:
            raise TargetUnavailable(f"{self._access.address}: not connected")
        return self._client

    def _path(self, name: str) -> str:
        return f"{self._access.folder.rstrip('/')}/{name}"

    async def _answered(self, work: Awaitable[R], path: str, seconds: int = REPLY_SECONDS_MAX) -> R:
        """The server's answer. Its texts may hold anything and are left out of errors."""
        subject = ": ".join(part for part in (self._access.address, path) if part)
        try:
            return await asyncio.wait_for(work, seconds)
        except FOR_A_PERSON as problem:
            raise TargetUnusable(f"{subject}: {type(problem).__name__}") from None
        except (asyncssh.Error, OSError, TimeoutError) as problem:
            raise TargetUnavailable(f"{subject}: {type(problem).__name__}") from None
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as problem:
            raise TargetUnusable(
                f"{subject}: BURSAR_SFTP_KEY_FILE: {type(problem).__name__}"
            ) from None


def _hidden(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{hidden_name(last)}"
