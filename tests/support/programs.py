"""Starts the program `bursar-bridge`, each time as a process of its own.

    program = await start_program("run", environment=..., output=log, errors=log)

On Linux the process is forked from one that has imported the service (`starter.py`), which takes
milliseconds; elsewhere, and for another source than this one, a new Python is started.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Protocol

from tests.support.starter import Order

ROOT = Path(__file__).parents[2]
END_SECONDS_MAX = 30


class Program(Protocol):
    """What tests use of `asyncio.subprocess.Process`."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    async def wait(self) -> int: ...

    async def communicate(self) -> tuple[bytes, bytes]: ...

    def send_signal(self, signal: int, /) -> None: ...

    def kill(self) -> None: ...


async def start_program(
    *arguments: str,
    environment: Mapping[str, str],
    output: int | IO[bytes] = PIPE,
    errors: int | IO[bytes] = PIPE,
    root: Path = ROOT,
) -> Program:
    """`python -m service` with the arguments, without standard input.

    `output` and `errors` are PIPE, DEVNULL or an open file; `root` has the source that is run.
    """
    if root == ROOT and sys.platform == "linux":
        order = Order(arguments=[*arguments], environment=dict(environment), folder=str(root))
        return await _starter().start(order, output, errors)
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", *arguments),
        cwd=root,
        env=dict(environment),
        stdin=DEVNULL,
        stdout=output,
        stderr=errors,
    )


class ForkedProgram:
    """A program that the starter has forked; its exit code comes from there."""

    def __init__(
        self,
        pid: int,
        ended: asyncio.StreamReader,
        channel: asyncio.StreamWriter,
        outputs: list[asyncio.StreamReader | None],
    ) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._channel = channel
        self._outputs = outputs
        self._waiting = asyncio.create_task(self._wait(ended))

    async def _wait(self, ended: asyncio.StreamReader) -> int:
        line = await ended.readline()
        self._channel.close()
        assert line, "the starter ended before the program did"
        self.returncode = int(line)
        return self.returncode

    async def wait(self) -> int:
        """The exit code, negative for a signal; cancelling this leaves the program alone."""
        return await asyncio.shield(self._waiting)

    async def communicate(self) -> tuple[bytes, bytes]:
        """Output and errors to their ends, empty where they are not pipes."""
        output, errors = self._outputs
        out, problems = await asyncio.gather(_read(output), _read(errors))
        await self.wait()
        return out, problems

    def send_signal(self, number: int, /) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    return b"" if stream is None else await stream.read()


class StarterProcess:
    """The process that forks, shared by all tests of this one."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.starter"],
                cwd=ROOT,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
            )

    async def start(
        self, order: Order, output: int | IO[bytes], errors: int | IO[bytes]
    ) -> ForkedProgram:
        ours, theirs = socket.socketpair()
        with contextlib.ExitStack() as stack:
            stack.enter_context(theirs)
            targets = [_opened(each, stack) for each in (output, errors)]
            files = [theirs.fileno(), *(writing for writing, _ in targets)]
            socket.send_fds(self._control, [b"s"], files)
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        writer.write(json.dumps(order).encode() + b"\n")
        await writer.drain()
        first = await reader.readline()
        assert first, "the process that starts programs has ended; its errors are above"
        outputs = [None if reading is None else await _stream(reading) for _, reading in targets]
        return ForkedProgram(int(first), reader, writer, outputs)

    def close(self) -> None:
        self._control.close()
        self._process.wait(END_SECONDS_MAX)


def _opened(target: int | IO[bytes], stack: contextlib.ExitStack) -> tuple[int, int | None]:
    """The descriptor to write to, closed here with the stack, and that to read from, if any."""
    if target == PIPE:
        reading, writing = os.pipe()
        stack.callback(os.close, writing)
        return writing, reading
    if target == DEVNULL:
        writing = os.open(os.devnull, os.O_WRONLY)
        stack.callback(os.close, writing)
        return writing, None
    return (target if isinstance(target, int) else target.fileno()), None


async def _stream(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    pipe = os.fdopen(descriptor, "rb", 0)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
    return reader


_shared: list[StarterProcess] = []


def _starter() -> StarterProcess:
    if not _shared:
        _shared.append(StarterProcess())
    return _shared[0]


def close_starter() -> None:
    """Ends the shared process, with its measured lines written, if a test has started one."""
    while _shared:
        _shared.pop().close()
