"""Sessions with PostgreSQL: real ones, whose statements wait for their turn and may be cut.

A statement that was granted is the only one under way, unless it waits for a lock. A cut session is
gone on the server, too, before anything else happens. If COMMIT is cut, it has taken effect before,
or it never will; the client cannot tell.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cache
from importlib import resources
from typing import Any, TypeVar

import asyncpg
from asyncpg.exceptions import ConnectionDoesNotExistError, LockNotAvailableError

from service.database.session import statements
from tests.simulator.backends import Backends
from tests.simulator.control import Control
from tests.simulator.databases import CLOCK_WORDS, set_clock
from tests.simulator.scheduler import Actor, Scheduler

R = TypeVar("R")

LOST = "connection was closed in the middle of operation"
COMMIT = "COMMIT;"
# Two sessions have numbered transactions of an account, so that one did not hold its lock.
NUMBERED_ONCE = "ledger_transaction_pkey"
COLLIDES = " finds its number taken"
SAVEPOINT_NAME = re.compile(r"__asyncpg_\w+__")  # numbered by the process
# The server counts these in the time of the world outside.
LIMITS = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
NO_LIMITS = dict.fromkeys(LIMITS, "0")
PLANNED_ONCE = {"plan_cache_mode": "force_generic_plan"}


class Ending(Enum):
    """What becomes of a statement."""

    ANSWERED = auto()
    ANSWERED_LATE = auto()  # others go on before the client has the answer
    CUT_BEFORE = auto()
    CUT_AFTER = auto()


@dataclass(frozen=True, slots=True)
class Advance:
    """Records of an input partition that a commit has applied: from `first` to before `end`."""

    topic: str
    partition: int
    first: int
    end: int


Batch = tuple[str, str, int]
Line = tuple[str, str]


@dataclass(slots=True)
class Work:
    """What a transaction has done: what it has read, the batches that it has sealed, those that it
    has adopted, and the adopted lines that it has changed.
    """

    advances: list[Advance] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    adopted: list[Batch] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether it has done any of this."""
        return bool(self.advances or self.batches or self.adopted or self.lines)


@dataclass(eq=False, slots=True)
class Link:
    """The way of one instance to the database. `ending_of` decides about each statement; `rewrite`
    may take a protection out of one.
    """

    actor: Actor
    scheduler: Scheduler
    control: Control
    ending_of: Callable[[str], Ending]
    committed: Callable[[Actor, Work], None]
    rewrite: Callable[[str], str]
    backends: Backends
    sessions: list[Session] = field(default_factory=list)

    async def connect(self, *arguments: Any, **options: Any) -> Session:
        """In place of asyncpg.connect."""
        await self.scheduler.turn(self.actor, "connect")
        options["connection_class"] = Session
        settings = {**options["server_settings"], **NO_LIMITS, **PLANNED_ONCE}
        options["server_settings"] = settings
        with self.scheduler.waiting_for_server("connect"):
            session = await self.backends.take(Session, settings)
            if session is None:
                session = await asyncpg.connect(*arguments, **options)
        session.link, session.settings = self, settings
        self.sessions.append(session)
        return session

    async def run(
        self,
        session: Session,
        query: str,
        arguments: Sequence[object],
        call: Callable[[], Awaitable[R]],
    ) -> R:
        """Runs a statement in its turn; raises what a client sees of a lost connection."""
        label = name_of(query)
        await self.scheduler.turn(self.actor, f"sql {label}")
        session._check_open()
        ending = self.ending_of(query)
        if ending is Ending.CUT_BEFORE:
            self._cut(session, label, "before")
        pid = session.get_server_pid()
        descriptor = session.descriptor
        with self.scheduler.waiting_for_server(f"{self.actor.name}: {label}", pid, descriptor):
            session.is_asking = True
            try:
                if any(word in query for word in CLOCK_WORDS) and self.scheduler.clock.has_moved():
                    await session.set_clock(set_clock(self.scheduler.clock))
                result = await call()
            except asyncpg.PostgresError as problem:
                session.is_asking = False
                if isinstance(problem, asyncpg.QueryCanceledError):
                    text = "canceling statement due to lock timeout"
                    raise LockNotAvailableError(text) from problem
                if getattr(problem, "constraint_name", None) == NUMBERED_ONCE:
                    self.scheduler.note(f"  {label}{COLLIDES}")
                self._end_transaction(session)
                raise
        session.is_asking = False
        self._note(session, query, arguments)
        if ending is Ending.CUT_AFTER:
            self._cut(session, label, "after")
        if ending is Ending.ANSWERED_LATE:
            await self.scheduler.turn(self.actor, f"answer {label}")
        return result

    def cut_all(self) -> None:
        """Ends all sessions, as when the process or the server is gone."""
        for session in list(self.sessions):
            session.terminate()

    def cut_idle(self) -> None:
        """Ends the sessions that wait for their client inside a transaction, as the server does."""
        locked_out = self.scheduler.locked_out
        for session in list(self.sessions):
            if session.is_in_transaction() and session.get_server_pid() not in locked_out:
                session.terminate()

    def ended(self, session: Session, pid: int, *, is_free: bool) -> None:
        """Called when the client has left a session; its transaction has ended if it `is_free`."""
        self.sessions.remove(session)
        if not is_free:
            self.control.end_backend(pid)
        self.scheduler.locks_may_be_free()

    def _cut(self, session: Session, label: str, when: str) -> None:
        self.scheduler.note(f"  cut {when} {label}")
        session.terminate()
        raise ConnectionDoesNotExistError(LOST)

    def _note(self, session: Session, query: str, arguments: Sequence[Any]) -> None:
        """Keeps what the transaction has done; when it has committed, that has taken effect."""
        if query == _text("offsets", "advance"):
            columns = zip(*arguments[:4], strict=True)
            session.open.advances += [Advance(*column) for column in columns]
        elif query == _text("export", "seal_batch"):
            session.open.batches.append((arguments[0], arguments[1], arguments[2]))
        elif query == _text("recovery", "put_adopted_batch"):
            session.open.adopted.append((arguments[0], arguments[1], arguments[2]))
        elif query == _text("adopted", "write_adopted_line"):
            session.open.lines += zip(arguments[0], arguments[1], strict=True)
        work = self._end_transaction(session)
        if query == COMMIT and work:
            self.committed(self.actor, work)

    def _end_transaction(self, session: Session) -> Work:
        """What the transaction has done, if the session is in none any more."""
        if session.is_closed() or session.is_in_transaction():
            return Work()
        self.scheduler.locks_may_be_free()
        work, session.open = session.open, Work()
        return work


_Driver: Any = asyncpg.Connection  # the stubs leave out what is overridden here


class Session(_Driver):  # type: ignore[misc]
    """A session of an instance. Everything that it asks of the server passes one of these."""

    link: Link
    settings: Mapping[str, str]
    open: Work
    is_asking: bool  # until a statement is answered
    _protocol: Any

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)
        self.open = Work()
        self.is_asking = False

    @property
    def descriptor(self) -> int | None:
        """The socket's."""
        socket = self._transport.get_extra_info("socket")
        return None if socket is None else int(socket.fileno())

    async def set_clock(self, query: str) -> None:
        """Runs the statement in the turn of another."""
        await super().execute(query)

    async def execute(self, query: str, *arguments: object, timeout: float | None = None) -> object:
        if arguments:
            return await super().execute(query, *arguments, timeout=timeout)
        if query == self.get_reset_query():
            return ""  # the service changes nothing of a session but in a transaction
        call = super().execute
        return await self.link.run(self, query, (), lambda: call(query, timeout=timeout))

    async def _execute(
        self, query: str, arguments: Sequence[object], *rest: object, **options: object
    ) -> object:
        call, text = super()._execute, self.link.rewrite(query)
        return await self.link.run(
            self, query, arguments, lambda: call(text, arguments, *rest, **options)
        )

    async def _executemany(self, query: str, *rest: object, **options: object) -> object:
        call = super()._executemany
        return await self.link.run(self, query, (), lambda: call(query, *rest, **options))

    async def copy_records_to_table(self, table_name: str, **options: object) -> object:
        call = super().copy_records_to_table
        return await self.link.run(
            self, f"COPY {table_name}", (), lambda: call(table_name, **options)
        )

    async def close(self, *, timeout: float | None = None) -> None:
        del timeout
        if not self.is_closed():
            await self.link.scheduler.turn(self.link.actor, "close a session")
        self.terminate()

    async def _cancel(self, *waiters: object) -> None:
        with self.link.scheduler.waiting_for_server("cancel"):
            await super()._cancel(*waiters)
        self.link.scheduler.locks_may_be_free()

    def _abort(self) -> None:
        if self._protocol is None or not hasattr(self, "link"):
            super()._abort()
            return
        pid = self.get_server_pid()
        is_free = not self.is_asking and self.link.backends.keep(self, self.settings)
        if is_free:
            self._aborted, self._protocol = True, None
        else:
            super()._abort()
        self.link.ended(self, pid, is_free=is_free)


def name_of(query: str) -> str:
    """The name under which the service keeps a statement, or the beginning of its text."""
    return _names().get(query) or SAVEPOINT_NAME.sub("", query.split(";")[0])[:40].strip()


@cache
def _names() -> dict[str, str]:
    folder = resources.files("service.database").joinpath("sql")
    files = sorted(each.name.removesuffix(".sql") for each in folder.iterdir())
    return {text: f"{file}.{name}" for file in files for name, text in statements(file).items()}


@cache
def _text(file: str, name: str) -> str:
    return statements(file)[name]
