"""The server's processes behind the sessions of a simulation: they outlive the sessions.

A process that has just started reads the catalogue and plans every statement anew. That took most
of the time of a history, because its instances are killed and started all the time. For the service
a session that is given a used process is a new one: what the former session had open is rolled
back, and its locks are free, before anything else happens.
"""

from __future__ import annotations

import os
import select
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg

if TYPE_CHECKING:
    from tests.simulator.sessions import Session

END_ALL = b"ROLLBACK; SELECT pg_catalog.pg_advisory_unlock_all()\0"
READY = b"Z"
HEADER_BYTES = 5  # the type of a message, and its length without the type
ANSWER_MS_MAX = 10_000


class _Backend(NamedTuple):
    """A process of the server: the client's end of it, and what was prepared on it."""

    arguments: tuple[Any, ...]
    settings: Mapping[str, str]
    prepared: OrderedDict[object, Any]


class Backends:
    """The processes that no session has now."""

    def __init__(self) -> None:
        self._spare: list[_Backend] = []

    def keep(self, session: Session, settings: Mapping[str, str]) -> bool:
        """Takes the process of a session that ends and has no statement under way. False: the
        process cannot be used again.
        """
        transport = session._transport
        if transport.is_closing() or transport.get_extra_info("sslcontext") is not None:
            return False
        _end_all(transport.get_extra_info("socket").fileno())
        entries = session._stmt_cache._entries
        prepared, session._stmt_cache._entries = entries, OrderedDict()
        address = (session._addr, session._config, session._params)
        arguments = (session._protocol, transport, session._loop, *address)
        self._spare.append(_Backend(arguments, settings, prepared))
        return True

    async def take(self, kind: type[Session], settings: Mapping[str, str]) -> Session | None:
        """A session of this kind with a used process, if there is one with these settings."""
        for backend in reversed(self._spare):  # the last one has most of what is needed in memory
            if backend.settings == settings:
                self._spare.remove(backend)
                return await _session(kind, backend)
        return None

    def close(self) -> None:
        """Ends them all."""
        for backend in self._spare:
            protocol, *_ = backend.arguments
            protocol.abort()
        self._spare = []


async def _session(kind: type[Session], backend: _Backend) -> Session:
    session: Session = kind(*backend.arguments)
    session._protocol.set_connection(session)
    cache = session._stmt_cache
    for query, entry in backend.prepared.items():
        entry._cache._clear_entry_callback(entry)  # of the former session
        cache.put(query, entry._statement)
    # The client learns that no transaction is open.
    await asyncpg.Connection.execute(session, "SELECT 1")
    return session


def _end_all(descriptor: int) -> None:
    """Rolls back, and waits for the answer, whatever the event loop does meanwhile."""
    os.write(descriptor, b"Q" + (len(END_ALL) + 4).to_bytes(4, "big") + END_ALL)
    poll, received = select.poll(), b""
    poll.register(descriptor, select.POLLIN)
    while not _is_answered(received):
        if not poll.poll(ANSWER_MS_MAX):
            raise TimeoutError("the server does not answer")
        received += os.read(descriptor, 65_536)


def _is_answered(received: bytes) -> bool:
    """Whether the last message says that the server waits for the next statement."""
    while len(received) >= HEADER_BYTES:
        kind, length = received[:1], int.from_bytes(received[1:HEADER_BYTES], "big") + 1
        if len(received) < length:
            return False
        if kind == READY:
            return True
        received = received[length:]
    return False
