"""No commit on top of an older ledger: every writer proves that the database is the one it knows.

A process counts its commits in rows of its own, one for each of its writers, in the transaction
that does the work. Before each commit it compares: where a row is missing, or counts less than the
process remembers, this is not the database that the process has written to. A commit in doubt is
harmless, since it can only make the row count more than is remembered.

Another server, database or table than before (`identity`) proves nothing by itself: the restore
check is asked again then, before anything is written.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import NoReturn

import asyncpg
import orjson

from ..database.session import Connection, Pool, statements
from ..kafka.stops import OlderDatabase
from ..runtime.failures import DATABASE_FAILURES
from ..runtime.problems import Unavailable, describe
from ..runtime.telemetry import Event, get_log
from .check import Answer, RestoreCheck
from .findings import Finding, OutputUnreadable, commits_lost
from .verdict import put_verdict

SQL = statements("restore")
TRIES_MAX = 3
LOCK_LOOK_SECONDS = 1
ENDED_DAYS = 90  # rows of processes that were killed; a living one touches its rows all the time

log = get_log(__name__)

Progress = Callable[[], Awaitable[None]]


class AnotherServer(Unavailable):
    """The connection leads to another database than the one that was checked."""


class Exchanged(Exception):
    """This database counts less than the process remembers. The findings say how."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__()
        self.findings = findings


class Guard:
    """One for each process; `process` names it, unlike any other one."""

    def __init__(self, pool: Pool, check: RestoreCheck, process: str) -> None:
        self.pool = pool
        self.process = process
        self._check = check
        self._identity: str | None = None
        self._confirmed: dict[str, int] = {}
        self._asking = asyncio.Lock()
        self._begun = 0  # how many times the check has begun
        self._answer: tuple[int, Answer] | None = None  # the last one, and which time it was

    async def open(self, writers: Sequence[str]) -> None:
        """Asks whether the database is older, then begins to count for each of `writers`.

        Raises OlderDatabase, CannotAsk, and what the database raises; then it may be called again.
        """
        await self.ask()
        async with self.pool.acquire() as connection:
            await connection.execute(SQL["forget_ended_processes"], ENDED_DAYS)
            await connection.execute(SQL["register"], self.process, list(writers))
        self._confirmed = dict.fromkeys(writers, 0)

    async def close(self) -> None:
        """The rows of a process that ends are of no use to anybody. Best effort: it ends anyway."""
        writers, self._confirmed = self._confirmed, {}
        # Whatever the database says now, it must not take the place of why the process ends.
        with contextlib.suppress(*DATABASE_FAILURES):
            if writers:
                async with self.pool.acquire() as connection:
                    await connection.execute(SQL["unregister"], self.process)

    def writer(self, name: str) -> "Writer":
        """For one part of the process: `name` is one of those that `open` was given."""
        return Writer(self, name)

    async def ask(self, progress: Progress | None = None) -> Answer:
        """The whole restore check; what it finds is kept as the verdict. Raises as `open`.

        One at a time; whoever waited while it began and ended has its answer as well. `progress`
        is awaited at least every second or page of records.
        """
        came = self._begun
        await self._turn(progress)
        try:
            if self._answer is not None and self._answer[0] > came:
                return self._answer[1]
            self._begun += 1
            answer = await self._ask(progress)
            self._answer = (self._begun, answer)
            return answer
        finally:
            self._asking.release()

    async def _turn(self, progress: Progress | None) -> None:
        while True:
            try:
                await asyncio.wait_for(self._asking.acquire(), LOCK_LOOK_SECONDS)
            except TimeoutError:
                if progress is not None:
                    await progress()
            else:
                return

    async def _ask(self, progress: Progress | None) -> Answer:
        async with self.pool.acquire() as connection:
            identity = (await self._row(connection, "continuity", self.process))["identity"]
            answer = await self._check.ask(connection, *(() if progress is None else (progress,)))
            if answer.findings:
                await self.stop(connection, answer.findings)
            self._identity = identity
            return answer

    async def stop(self, connection: Connection, findings: Sequence[Finding]) -> NoReturn:
        """Keeps the verdict in the database that the evidence is about. Raises OlderDatabase.

        Over the very connection that was examined, outside of a transaction: another one might lead
        to another database. Where it cannot be kept, the next start asks again.
        """
        problem = findings[0].problem()
        if not isinstance(problem, OutputUnreadable):
            try:
                await put_verdict(connection, findings, self.process)
            except DATABASE_FAILURES as failure:
                log.warning(Event.VERDICT_NOT_KEPT, problem=describe(failure))
        raise problem

    async def verify(self, connection: Connection) -> None:
        """For whoever reads before it sends. Raises OlderDatabase, AnotherServer."""
        try:
            await self._compare(connection, "continuity", self.process)
        except Exchanged as exchanged:
            await self.stop(connection, exchanged.findings)

    async def watch(self) -> None:
        """As `verify`, over any connection; asks again where that leads to another server."""
        try:
            async with self.pool.acquire() as connection:
                await self.verify(connection)
        except AnotherServer:
            await self.recheck()

    async def count(self, connection: Connection, writer: str) -> int:
        """One more commit, in the transaction that is open. Raises Exchanged, AnotherServer, and
        OlderDatabase where the verdict is known already.
        """
        remembered = self._confirmed[writer]
        commits = await self._compare(connection, "count_commit", self.process, writer)
        if commits is None or commits <= remembered:
            raise Exchanged(commits_lost(self.process, writer, remembered, commits))
        return commits

    def confirm(self, writer: str, commits: int) -> None:
        """The transaction that counted has committed."""
        self._confirmed[writer] = max(commits, self._confirmed[writer])

    async def recheck(self) -> None:
        """The server, the database or its tables are others than those that were checked."""
        log.warning(Event.DATABASE_CHANGED)
        await self.ask()

    async def _compare(self, connection: Connection, statement: str, *arguments: str) -> int | None:
        """The count after this commit, if one is counted.

        Raises OlderDatabase, Exchanged, AnotherServer.
        """
        remembered = dict(self._confirmed)
        row = await self._row(connection, statement, *arguments)
        counts: Mapping[str, int] = orjson.loads(row["counts"] or b"{}")
        lost = [
            commits_lost(self.process, writer, commits, counts.get(writer))
            for writer, commits in remembered.items()
            if counts.get(writer, -1) < commits
        ]
        if lost:
            raise Exchanged(*lost)
        if row["identity"] != self._identity:
            raise AnotherServer("the database is another one than the one that was checked")
        commits_now: int | None = row["commits"]
        return commits_now

    async def _row(self, connection: Connection, statement: str, *arguments: str) -> asyncpg.Record:
        """What the database says of itself. Raises OlderDatabase for a verdict, or no tables."""
        try:
            row = await connection.fetchrow(SQL[statement], *arguments)
        except asyncpg.UndefinedTableError:
            raise self._lost_everything().problem() from None
        assert row is not None
        if row["verdict"] is not None:
            raise OlderDatabase(row["verdict"])
        return row

    def _lost_everything(self) -> Finding:
        """The tables that the restore check needs are gone: they were there at the start."""
        most = max(self._confirmed.items(), key=lambda item: item[1], default=("start", 0))
        return commits_lost(self.process, *most, None)


class Writer:
    """Transactions of one part of the process, one at a time."""

    def __init__(self, guard: Guard, name: str) -> None:
        self._guard = guard
        self._name = name

    @property
    def pool(self) -> Pool:
        """For reading."""
        return self._guard.pool

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction on the database this process knows.

        Raises OlderDatabase, CannotAsk, AnotherServer before anything is done in it.
        """
        async with contextlib.AsyncExitStack() as stack:
            connection, commits = await self._begin(stack)
            yield connection
        self._guard.confirm(self._name, commits)

    async def _begin(self, stack: contextlib.AsyncExitStack) -> tuple[Connection, int]:
        for _ in range(TRIES_MAX):
            async with contextlib.AsyncExitStack() as held:
                connection = await held.enter_async_context(self._guard.pool.acquire())
                try:
                    commits = await self._counted(connection, held)
                except Exchanged as exchanged:  # the transaction is rolled back
                    await self._guard.stop(connection, exchanged.findings)
                except AnotherServer:
                    pass  # asked about below, without a connection in hand
                else:
                    stack.push_async_exit(held.pop_all())
                    return connection, commits
            await self._guard.recheck()
        raise AnotherServer("the database changes from one connection to the next")

    async def _counted(self, connection: Connection, held: contextlib.AsyncExitStack) -> int:
        """The transaction goes to `held` once it has counted itself; else it is rolled back."""
        async with contextlib.AsyncExitStack() as begun:
            await begun.enter_async_context(connection.transaction())
            commits = await self._guard.count(connection, self._name)
            held.push_async_exit(begun.pop_all())
        return commits
