"""Filters of a proxy that know the protocols: lost answers to COMMIT, lost acknowledgements."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from tests.faults.proxy import Connection, Proxy

COMMIT = b"Q\x00\x00\x00\x0cCOMMIT;\x00"  # as asyncpg ends a transaction
PRODUCE = 0  # the key of Kafka's request that sends records
CUTTER = "commit was sent"
PRODUCED = "requests that wait for an acknowledgement"


class LostCommits:
    """Resets connections on which a COMMIT was sent, while `left` is above zero.

    With `reaches_server` the server has answered, which the client never learns; otherwise the
    server does not get the COMMIT, and ends the transaction.
    """

    def __init__(self, proxy: Proxy) -> None:
        self.left = 0
        self.lost = 0
        self.reaches_server = True
        proxy.sent, proxy.answered = self._sent, self._answered

    async def _sent(self, connection: Connection, data: bytes) -> bytes | None:
        if self.left == 0 or COMMIT not in data:
            return data
        self.left -= 1
        self.lost += 1
        if not self.reaches_server:
            return None
        connection.state[CUTTER] = True
        return data

    async def _answered(self, connection: Connection, data: bytes) -> bytes | None:
        return None if CUTTER in connection.state else data


class LostAcknowledgements:
    """Resets connections on which a broker acknowledges records, while `left` is above zero.

    The broker has the records. `then` is called at each of them, such as to kill the producer.
    """

    def __init__(self, proxy: Proxy, then: Callable[[], None] = lambda: None) -> None:
        self.left = 0
        self.lost = 0
        self._then = then
        proxy.sent, proxy.answered = self._sent, self._answered

    async def _sent(self, connection: Connection, data: bytes) -> bytes | None:
        waiting: set[int] = connection.state.setdefault(PRODUCED, set())
        for frame in _frames(connection, "sent", data):
            key, _, correlation = struct.unpack_from(">hhi", frame)
            if key == PRODUCE:
                waiting.add(correlation)
        return data

    async def _answered(self, connection: Connection, data: bytes) -> bytes | None:
        waiting: set[int] = connection.state.get(PRODUCED, set())
        for frame in _frames(connection, "answered", data):
            (correlation,) = struct.unpack_from(">i", frame)
            if correlation in waiting:
                waiting.discard(correlation)
                if self.left > 0:
                    self.left -= 1
                    self.lost += 1
                    self._then()
                    return None
        return data


def _frames(connection: Connection, way: str, data: bytes) -> Iterator[bytes]:
    """The frames that are whole by now; each has its length before it."""
    rest: bytes = connection.state.get(way, b"") + data
    while len(rest) >= 4 and len(rest) >= 4 + int.from_bytes(rest[:4], "big"):
        length = int.from_bytes(rest[:4], "big")
        yield rest[4 : 4 + length]
        rest = rest[4 + length :]
    connection.state[way] = rest
