"""A folder of this machine as a target."""

import asyncio
import errno
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..export import batch_file
from .target import TargetUnavailable, TargetUnusable

R = TypeVar("R")

# Space, the mount or the server behind it may come back; any other error is for a person to mend.
TEMPORARY = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE}
    | {errno.ENFILE, errno.EAGAIN, errno.EBUSY, errno.ENOTCONN, errno.EHOSTDOWN}
)


class Folder:
    """Files are synced to disk before they are renamed.

    The folder must exist. If it were created, a missing mount would fill the disk under it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def open(self) -> None:
        """Makes sure that the folder and its folder `manifests` exist."""
        if not self._path.is_dir():
            raise TargetUnusable(f"{self._path}: must be a folder that exists")
        await self._in_thread(lambda: (self._path / batch_file.MANIFESTS).mkdir(exist_ok=True))

    async def close(self) -> None:
        """Does nothing, because a folder needs no connection."""

    async def names(self) -> frozenset[str] | None:
        """The names of all files, or None if the target does not permit listing them."""
        return await self._in_thread(lambda: _names(self._path))

    async def read(self, name: str) -> bytes | None:
        """The bytes of a file; None if there is no such file."""
        return await self._in_thread(lambda: _read(self._path / name))

    async def write(self, name: str, data: bytes) -> None:
        """Writes the file under its hidden name and syncs it."""
        await self._in_thread(lambda: batch_file.write_hidden(self._path / name, data))

    async def has_hidden(self, name: str) -> bool:
        """Whether the file is there under its hidden name."""
        path = self._path / name
        return await self._in_thread(path.with_name(batch_file.hidden_name(path.name)).exists)

    async def rename_into_place(self, name: str) -> None:
        """Gives a file that was written its name."""
        await self._in_thread(lambda: batch_file.rename_into_place(self._path / name))

    async def _in_thread(self, work: Callable[[], R]) -> R:
        """In a thread, because a disk that hangs must not stop the event loop."""
        try:
            return await asyncio.to_thread(work)
        except OSError as problem:
            text = f"{self._path}: {problem.strerror}"
            if problem.errno in TEMPORARY:
                raise TargetUnavailable(text) from None
            raise TargetUnusable(text) from None


def _names(folder: Path) -> frozenset[str] | None:
    try:
        return frozenset(
            entry.name
            for below in (folder, folder / batch_file.MANIFESTS)
            for entry in below.iterdir()
        )
    except PermissionError:  # a folder for writing alone, as some drop boxes are
        return None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
