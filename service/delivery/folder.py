"""A folder of this machine as a target."""

import asyncio
import errno
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..export.batch_file import MANIFESTS, hidden_name, rename_into_place, write_hidden
from .target import TargetRefused, TargetUnavailable

R = TypeVar("R")

# Wait for space, for the mount or for the server behind it; whatever else is for a person to mend.
FOR_NOW = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE}
    | {errno.ENFILE, errno.EAGAIN, errno.EBUSY, errno.ENOTCONN, errno.EHOSTDOWN}
)


class Folder:
    """Files with fsync, renamed in place. The folder must be there: a mount that is missing is
    no reason to fill the disk under it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def open(self) -> None:
        if not self._path.is_dir():
            raise TargetRefused(f"{self._path}: must be a folder that exists")
        await self._done(lambda: (self._path / MANIFESTS).mkdir(exist_ok=True))

    async def close(self) -> None:
        """Nothing stays open."""

    async def names(self) -> frozenset[str] | None:
        return await self._done(lambda: _names(self._path))

    async def read(self, name: str) -> bytes | None:
        return await self._done(lambda: _read(self._path / name))

    async def write(self, name: str, data: bytes) -> None:
        await self._done(lambda: write_hidden(self._path / name, data))

    async def has_hidden(self, name: str) -> bool:
        path = self._path / name
        return await self._done(path.with_name(hidden_name(path.name)).exists)

    async def rename_into_place(self, name: str) -> None:
        await self._done(lambda: rename_into_place(self._path / name))

    async def _done(self, work: Callable[[], R]) -> R:
        """In a thread: a disk that hangs must not hold the heartbeats."""
        try:
            return await asyncio.to_thread(work)
        except OSError as problem:
            told = f"{self._path}: {problem.strerror}"
            if problem.errno in FOR_NOW:
                raise TargetUnavailable(told) from None
            raise TargetRefused(told) from None


def _names(folder: Path) -> frozenset[str] | None:
    try:
        return frozenset(
            entry.name for below in (folder, folder / MANIFESTS) for entry in below.iterdir()
        )
    except PermissionError:  # a folder for writing alone, as some drop boxes are
        return None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
