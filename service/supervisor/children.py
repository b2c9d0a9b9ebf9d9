"""Starts the members of the service as processes of their own, and reads their reports."""

import asyncio
import contextlib
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from .member import VARIABLE
from .reports import Report

REPORT_BYTES_MAX = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Child:
    """A member process that was started, and the stream of its reports."""

    _process: Process
    _reader: asyncio.StreamReader

    @property
    def pid(self) -> int:
        """The id of the member process."""
        return self._process.pid

    def terminate(self) -> None:
        """Asks the member to stop (SIGTERM), unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        """Ends the member at once (SIGKILL), unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def reports(self) -> AsyncIterator[Report]:
        """Yields the reports of the member until it ends."""
        while row := await self._reader.readline():
            if row.endswith(b"\n"):  # else it was killed in the middle of it
                yield Report.decode(row)

    async def status(self) -> int:
        """Waits for the end of the member and returns its exit status."""
        return await self._process.wait()


def this_command() -> list[str]:
    """Returns the command line with which a new Python interpreter runs the same program as this
    process.

    Members are not forked from the parent, because its open connections and its libraries' threads
    must not exist twice.
    """
    module = sys.modules["__main__"].__spec__
    program = [sys.argv[0]] if module is None else ["-m", module.name.removesuffix(".__main__")]
    return [sys.executable, *program, *sys.argv[1:]]


@contextlib.asynccontextmanager
async def running_child(command: Sequence[str], number: int) -> AsyncIterator[Child]:
    """Starts `command` as the member with this number, and kills it at the end of the `with` block
    if it still runs. Raises OSError.

    Parent and member each hold one end of a pair of sockets, which is closed when a process ends:
    so each of them notices when the other has ended.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=REPORT_BYTES_MAX)
        try:
            child = Child(await _start(command, number, theirs.fileno()), reader)
        except OSError:
            writer.close()
            raise
    try:
        yield child
    finally:
        child.kill()
        await child.status()
        writer.close()


async def _start(command: Sequence[str], number: int, descriptor: int) -> Process:
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=DEVNULL,
        pass_fds=(descriptor,),
        env=os.environ | {VARIABLE: f"{number}:{descriptor}"},
    )
