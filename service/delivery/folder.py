"""Delivers into a folder on this machine."""

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
    """Delivers into a folder; each file is synced to disk before it gets its final name.

    The folder must exist. A missing folder is not created: if a mount were missing, the batches
    would fill the disk below it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def open(self) -> None:
        """Checks that the folder exists, and creates its subfolder `manifests` if necessary."""
        if not self._path.is_dir():
            raise TargetUnusable(f"{self._path}: must be a folder that exists")
        await self._in_thread(lambda: (self._path / batch_file.MANIFESTS).mkdir(exist_ok=True))

    async def close(self) -> None:
        """Does nothing, because a folder needs no connection."""

    async def names(self) -> frozenset[str] | None:
        """Returns the names of all files, also of those in `manifests`; None if listing is not
        permitted.
        """
        return await self._in_thread(lambda: _names(self._path))

    async def read(self, name: str) -> bytes | None:
        """Returns the bytes of the file; None if there is no such file."""
        return await self._in_thread(lambda: _read(self._path / name))

    async def write(self, name: str, data: bytes) -> None:
        """Writes the file under a hidden name, which `rename_into_place` changes, and syncs it to
        disk.
        """
        await self._in_thread(lambda: batch_file.write_hidden(self._path / name, data))

    async def has_hidden(self, name: str) -> bool:
        """Returns whether the file exists under its hidden name, because it was not renamed yet."""
        path = self._path / name
        return await self._in_thread(path.with_name(batch_file.hidden_name(path.name)).exists)

    async def rename_into_place(self, name: str) -> None:
        """Renames the file that `write` has written from its hidden name to `name`."""
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
