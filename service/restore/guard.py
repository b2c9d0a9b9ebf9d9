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

from service.database.pool import Connection, Pool
from service.database.statements import statements
from service.kafka.stops import OlderDatabase
from service.problems import Away
from service.restore.check import Answer, RestoreCheck
from service.restore.findings import Finding, OutputUnreadable, commits_lost
from service.restore.verdict import put_verdict, read_verdict
from service.telemetry import Event, get_log

SQL = statements("restore")
TRIES_MAX = 3
ENDED_DAYS = 90  # rows of processes that were killed, kept longer than any process is silent

log = get_log(__name__)


class AnotherServer(Away):
    """The connection leads to another database than the one that was checked."""


class Guard:
    """One for each process; `process` names it, unlike any other one."""

    def __init__(self, pool: Pool, check: RestoreCheck, process: str) -> None:
        self.pool = pool
        self.process = process
        self._check = check
        self._identity: str | None = None
        self._confirmed: dict[str, int] = {}
        self._asking = asyncio.Lock()

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
        """The rows of a process that ends in order are of no use to anybody."""
        writers, self._confirmed = self._confirmed, {}
        if writers:
            async with self.pool.acquire() as connection:
                await connection.execute(SQL["unregister"], self.process)

    def writer(self, name: str) -> "Writer":
        """For one part of the process: `name` is one of those that `open` was given."""
        return Writer(self, name)

    async def ask(self, progress: Callable[[], Awaitable[None]] | None = None) -> Answer:
        """The whole restore check; what it finds is kept as the verdict. Raises as `open`."""
        async with self._asking, self.pool.acquire() as connection:
            kept = await read_verdict(connection)
            if kept is not None:
                raise OlderDatabase(kept.detail)
            identity = await connection.fetchval(SQL["identity"])
            answer = await self._check.ask(connection, *(() if progress is None else (progress,)))
            if answer.findings:
                await self.stop(answer.findings)
            self._identity = identity
            return answer

    async def stop(self, findings: Sequence[Finding]) -> NoReturn:
        """Keeps the verdict. Raises OlderDatabase, always."""
        problem = findings[0].problem()
        if not isinstance(problem, OutputUnreadable):
            await put_verdict(self.pool, findings, self.process)
        raise problem

    async def verify(self, connection: Connection) -> None:
        """For whoever reads before it sends. Raises OlderDatabase, AnotherServer."""
        await self._compare(connection, "continuity", self.process)

    async def watch(self) -> None:
        """As `verify`, over any connection; asks again where that leads to another server."""
        try:
            async with self.pool.acquire() as connection:
                await self.verify(connection)
        except AnotherServer:
            await self.recheck()

    async def touch(self) -> None:
        """Says that the process is alive, although it may have had nothing to write."""
        async with self.pool.acquire() as connection:
            await connection.execute(SQL["touch"], self.process)

    async def count(self, connection: Connection, writer: str) -> int:
        """One more commit, in the transaction that is open. Raises OlderDatabase, AnotherServer."""
        remembered = self._confirmed[writer]
        commits = await self._compare(connection, "count_commit", self.process, writer)
        if commits is None or commits <= remembered:
            await self.stop([commits_lost(self.process, writer, remembered, commits)])
        assert commits is not None
        return commits

    def confirm(self, writer: str, commits: int) -> None:
        """The transaction that counted has committed."""
        self._confirmed[writer] = max(commits, self._confirmed[writer])

    async def recheck(self) -> None:
        """The server, the database or its tables are others than those that were checked."""
        log.warning(Event.DATABASE_CHANGED)
        await self.ask()

    async def _compare(self, connection: Connection, statement: str, *arguments: str) -> int | None:
        """The count after this commit, if one is counted. Raises OlderDatabase, AnotherServer."""
        remembered = dict(self._confirmed)
        try:
            row = await connection.fetchrow(SQL[statement], *arguments)
        except asyncpg.UndefinedTableError:
            writer, commits = max(remembered.items(), default=("start", 0))
            raise commits_lost(self.process, writer, commits, None).problem() from None
        assert row is not None
        if row["verdict"] is not None:
            raise OlderDatabase(row["verdict"])
        counts: Mapping[str, int] = orjson.loads(row["counts"] or b"{}")
        for writer, commits in remembered.items():
            counted = counts.get(writer)
            if counted is None or counted < commits:
                await self.stop([commits_lost(self.process, writer, commits, counted)])
        if row["identity"] != self._identity:
            raise AnotherServer("the database is another one than the one that was checked")
        commits_now: int | None = row["commits"]
        return commits_now


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
            connection, commits = await self._begun(stack)
            yield connection
        self._guard.confirm(self._name, commits)

    async def _begun(self, stack: contextlib.AsyncExitStack) -> tuple[Connection, int]:
        for _ in range(TRIES_MAX):
            try:
                async with contextlib.AsyncExitStack() as attempt:
                    connection = await attempt.enter_async_context(self._guard.pool.acquire())
                    await attempt.enter_async_context(connection.transaction())
                    commits = await self._guard.count(connection, self._name)
                    stack.push_async_exit(attempt.pop_all())
                    return connection, commits
            except AnotherServer:
                await self._guard.recheck()
        raise AnotherServer("the database changes from one connection to the next")
