"""The proxy that rows use does to connections what its modes say."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import ClassVar

import pytest

from tests.faults.proxy import PACES, Connection, Mode, Proxy
from tests.faults.report import Row
from tests.support.waiting import until

MANY = 100_000


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """Before a server that sends everything back in capitals."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionResetError):
            while data := await reader.read(1_000):
                writer.write(data.upper())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    proxy = await Proxy.to(*server.sockets[0].getsockname())
    yield proxy
    for client in Client.all:
        client.writer.transport.abort()
    Client.all.clear()
    await proxy.close()
    server.close()


class Client:
    """A connection through the proxy; the fixture ends all of them."""

    all: ClassVar[list[Client]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.all.append(self)

    @classmethod
    async def of(cls, proxy: Proxy) -> Client:
        client = cls(*await asyncio.open_connection("127.0.0.1", proxy.port))
        assert await client.ask(b"hello") == b"HELLO"
        return client

    async def ask(self, data: bytes) -> bytes:
        """Sends it, and returns an answer of the same length."""
        self.writer.write(data)
        return await self.reader.readexactly(len(data))


async def test_a_reset_is_an_error_and_the_next_connection_is_as_usual(proxy: Proxy) -> None:
    client = await Client.of(proxy)
    assert proxy.reset() == 1
    with pytest.raises(ConnectionResetError):
        await client.ask(b"lost")
    await Client.of(proxy)


async def test_while_connections_drop_none_is_accepted(proxy: Proxy) -> None:
    client = await Client.of(proxy)
    proxy.mode = Mode.DROP
    assert await client.reader.read() == b""
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await Client.of(proxy)
    proxy.mode = Mode.PASS
    await Client.of(proxy)


async def test_a_black_hole_keeps_what_was_sent_until_it_is_over(proxy: Proxy) -> None:
    client = await Client.of(proxy)
    proxy.mode = Mode.BLACK_HOLE
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await client.ask(b"slow")
    proxy.mode = Mode.PASS
    assert await client.reader.readexactly(4) == b"SLOW"


async def test_a_half_open_connection_stays_silent_for_good(proxy: Proxy) -> None:
    client = await Client.of(proxy)
    assert proxy.half_open() == 1
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await client.ask(b"nobody")
    assert proxy.connections == 1
    await Client.of(proxy)
    client.writer.close()
    await until(lambda: proxy.connections == 1)


@pytest.mark.parametrize(("mode", "slowly"), [(Mode.TRICKLE, 3), (Mode.SLOW_LINE, 2_000)])
async def test_bytes_go_at_their_pace_and_the_rest_at_once_when_the_mode_is_over(
    proxy: Proxy, mode: Mode, slowly: int
) -> None:
    client = await Client.of(proxy)
    count, seconds = PACES[mode]
    proxy.mode = mode
    began = time.monotonic()
    client.writer.write(b"a" * slowly + b"b" * MANY)
    assert await client.reader.readexactly(slowly) == b"A" * slowly
    assert time.monotonic() - began >= (slowly // count - 1) * seconds
    proxy.mode = Mode.PASS
    began = time.monotonic()
    assert await client.reader.readexactly(MANY) == b"B" * MANY
    assert time.monotonic() - began < MANY / count * seconds / 2


async def test_what_is_late_is_late_in_both_directions(proxy: Proxy) -> None:
    client = await Client.of(proxy)
    proxy.latency_seconds = 0.1
    proxy.mode = Mode.LATENCY
    began = time.monotonic()
    await client.ask(b"late")
    assert time.monotonic() - began >= 2 * proxy.latency_seconds


async def test_a_filter_changes_what_goes_through_and_none_resets(proxy: Proxy) -> None:
    async def answered(_: Connection, data: bytes) -> bytes | None:
        return None if data == b"CUT" else data.replace(b"X", b"U")

    client = await Client.of(proxy)
    proxy.answered = answered
    assert await client.ask(b"x") == b"U"
    with pytest.raises(ConnectionResetError):
        await client.ask(b"cut")


def test_the_modes_of_a_row_are_plain_texts() -> None:
    row = Row("network")
    row.count(Mode.DROP)
    assert [type(name) for name in row.cells()["faults"]] == [str]
