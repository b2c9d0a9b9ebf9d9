"""A TCP proxy before one server, which makes the network fail as a row wants it.

    proxy = await Proxy.to("127.0.0.1", port)
    ...  # clients connect to proxy.address
    proxy.mode = Mode.BLACK_HOLE
    ...
    proxy.mode = Mode.PASS
    await proxy.close()

A mode lasts until another is set; `reset` and `half_open` are done once, to the connections that
stand. Clients of Kafka connect to the addresses that the brokers advertise, so a broker has to
advertise its proxy: `LocalKafka(tools, proxy_port=proxy.port)` does so on a listener of its own.
`filters.py` has filters that know the protocols.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum
from functools import partial
from typing import Any

from tests.support.waiting import until

READ_BYTES = 2**20
LINGER_ZERO = struct.pack("ii", 1, 0)
HOLD_SECONDS_MAX = 600


class Mode(StrEnum):
    """What the proxy does with connections and bytes.

    PASS: everything goes through. DROP: connections end, and none is accepted. BLACK_HOLE:
    connections stand and are accepted, and nothing goes through until the mode ends. LATENCY: each
    piece waits for `latency_seconds`, in both directions. TRICKLE: of each connection one byte a
    second goes through in each direction, and SLOW_LINE: of each some 6 kB a second; what is left
    when the mode ends goes at once.
    """

    PASS = "pass"
    DROP = "drop"
    BLACK_HOLE = "black hole"
    LATENCY = "latency"
    TRICKLE = "one byte a second"
    SLOW_LINE = "slow line"


# How many bytes go through at once, and the seconds until the next ones.
PACES = {Mode.TRICKLE: (1, 1.0), Mode.SLOW_LINE: (128, 0.02)}


class Connection:
    """A client's connection and ours to the server; `state` belongs to the filters."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server
        self.is_half_open = False
        self.state: dict[str, Any] = {}

    def reset(self) -> None:
        """Both sides find their connection reset."""
        for writer in (self.client, self.server):
            with contextlib.suppress(OSError):
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
            writer.transport.abort()


# Gets what goes through; returns what goes on, or None: the connection is reset.
Filter = Callable[[Connection, bytes], Awaitable[bytes | None]]


async def unchanged(_: Connection, data: bytes) -> bytes | None:
    """The filter of a proxy that has none."""
    return data


class Proxy:
    """Listens on a port of its own; `sent` filters what clients send, `answered` the answers."""

    def __init__(self) -> None:
        self.latency_seconds = 0.5
        self.sent: Filter = unchanged
        self.answered: Filter = unchanged
        self.accepted = 0
        self.target = ("127.0.0.1", 0)
        self._mode = Mode.PASS
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        self.port = 0

    @classmethod
    async def to(cls, host: str, port: int) -> Proxy:
        """A proxy that listens; `target` may be set later, if the server is not there yet."""
        proxy = cls()
        proxy.target = (host, port)
        await proxy._listen()
        return proxy

    @property
    def address(self) -> str:
        """As clients take it."""
        return f"127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many stand now."""
        return len(self._connections)

    @property
    def mode(self) -> Mode:
        """What it does now."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._mode = mode
        if mode is Mode.DROP:
            for connection in list(self._connections):
                connection.client.close()
                connection.server.close()

    def reset(self) -> int:
        """Resets the connections that stand; returns how many these were."""
        connections = list(self._connections)
        for connection in connections:
            connection.reset()
        return len(connections)

    def half_open(self) -> int:
        """The server's side of each connection ends, of which the client is never told.

        Returns how many connections these were.
        """
        connections = [each for each in self._connections if not each.is_half_open]
        for connection in connections:
            connection.is_half_open = True
            connection.server.transport.abort()
        return len(connections)

    def calm(self) -> None:
        """Lets everything pass again, and forgets the filters and the connections."""
        self.mode = Mode.PASS
        self.sent = self.answered = unchanged
        self.reset()

    async def close(self) -> None:
        """Ends everything."""
        if self._listener is not None:
            self._listener.close()
        for connection in list(self._connections):
            connection.reset()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(
            self._accept, "127.0.0.1", self.port, limit=READ_BYTES
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._mode is Mode.DROP:
            writer.transport.abort()
            return
        try:
            answers, server = await asyncio.open_connection(*self.target, limit=READ_BYTES)
        except OSError:
            writer.transport.abort()
            return
        connection = Connection(writer, server)
        self._connections.add(connection)
        try:
            await self._carry(connection, reader, answers)
        finally:
            self._connections.discard(connection)
            server.transport.abort()
            writer.transport.abort()

    async def _carry(
        self, connection: Connection, requests: asyncio.StreamReader, answers: asyncio.StreamReader
    ) -> None:
        """Until either side has ended; of a half-open connection, until the client has."""
        ways = (
            asyncio.create_task(self._pump(connection, requests, is_request=True)),
            asyncio.create_task(self._pump(connection, answers, is_request=False)),
        )
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if connection.is_half_open:
                await ways[0]
        finally:
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)

    async def _pump(
        self, connection: Connection, reader: asyncio.StreamReader, *, is_request: bool
    ) -> None:
        writer = connection.server if is_request else connection.client
        with contextlib.suppress(OSError):
            while data := await reader.read(READ_BYTES):
                await self._hold()
                if connection.is_half_open:
                    continue
                through = self.sent if is_request else self.answered
                passed = await through(connection, data)
                if passed is None:
                    connection.reset()
                    return
                await self._write(writer, passed)

    async def _hold(self) -> None:
        late = time.monotonic() + self.latency_seconds
        await until(lambda: self._lets_through(late), HOLD_SECONDS_MAX)

    def _lets_through(self, late: float) -> bool:
        if self._mode is Mode.LATENCY:
            return time.monotonic() >= late
        return self._mode is not Mode.BLACK_HOLE

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        sent = 0
        while sent < len(data) and self._mode in PACES:
            count, seconds = PACES[self._mode]
            writer.write(data[sent : sent + count])
            sent += count
            await until(partial(self._lets_more_through, time.monotonic() + seconds))
        writer.write(data[sent:])
        await writer.drain()

    def _lets_more_through(self, at: float) -> bool:
        return self._mode not in PACES or time.monotonic() >= at
