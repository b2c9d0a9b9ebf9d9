"""Prevents commits to a database that was replaced by an older one: in each commit, a process
checks that the database is the one that the process has written to before.

A process counts its commits in rows of its own, one for each of its parts that write; the
transaction that does the work also raises the count. Before each commit the process compares these
counts with those that it remembers. If a row is missing or its count is lower, the database is not
the one that the process has written to. A commit of which the process does not know whether it
succeeded does no harm: it can only make the stored count higher than the remembered one.

If a connection leads to another server, database or table than before (`identity`), this does not
prove that the database is older; but the restore check runs again before anything is written.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NoReturn

import asyncpg
import orjson

from ..database.session import Connection, Pool, statements
from ..runtime.failures import DATABASE_FAILURES
from ..runtime.problems import OlderDatabase, Unavailable, describe
from ..runtime.telemetry import Event, get_log
from ..runtime.waiting import repeat
from .check import Answer, Progress, RestoreCheck, no_progress
from .findings import NO_VERDICTS, Finding, commits_lost, put_verdict
from .home import remember_home

SQL = statements("restore")
TRIES_MAX = 3
LOCK_WAIT_SECONDS = 1
IDLE_COMMIT_MS = 5_000
ENDED_DAYS = 90  # rows of processes that were killed; a living one touches its rows all the time

log = get_log(__name__)


class AnotherServer(Unavailable):
    """The connection leads to another server, database or table than the restore check has
    examined.
    """


class CommitsLost(Exception):
    """This database counts fewer commits than the process remembers. `findings` has
    two numbers of commits: those that this process remembers, and those that the table counts.
    """

    def __init__(self, *findings: Finding) -> None:
        super().__init__()
        self.findings = findings


class Guard:
    """Keeps a process from writing to a database that is older than Kafka, or that is not the one
    that was checked.

    Each process has one guard. `process` is the unique name of this process.
    """

    def __init__(self, pool: Pool, check: RestoreCheck, process: str) -> None:
        self.pool = pool
        self.process = process
        self._check = check
        self._identity: str | None = None
        self._confirmed: dict[str, int] = {}
        self._asking = asyncio.Lock()
        # Checks are numbered as they begin, so that whoever waited for one can share its answer.
        self._checks_begun = 0
        self._answer: tuple[int, Answer] | None = None  # the last one, with its number

    async def open(self, writers: Sequence[str]) -> None:
        """Runs the restore check, and then begins to count the commits of `writers`.

        Raises OlderDatabase, CannotAsk, and errors of the database; the caller may call `open`
        again after an error.
        """
        await self.ask()
        async with self.pool.acquire() as connection:
            await connection.execute(SQL["forget_ended_processes"], ENDED_DAYS)
            await connection.execute(SQL["register"], self.process, list(writers))
        self._confirmed = dict.fromkeys(writers, 0)

    async def close(self) -> None:
        """Deletes this process's counts of commits from the database, because the process is about
        to end; errors are ignored.
        """
        writers, self._confirmed = self._confirmed, {}
        # An error here must not take the place of the error that ends the process.
        with contextlib.suppress(*DATABASE_FAILURES):
            if writers:
                async with self.pool.acquire() as connection:
                    await connection.execute(SQL["unregister"], self.process)

    def writer(self, name: str) -> "Writer":
        """Returns the writer through which one part of the process makes its transactions; `name`
        is one of the names that were given to `open`.
        """
        return Writer(self, name)

    async def ask(self, progress: Progress = no_progress) -> Answer:
        """Runs the whole restore check, and stores what it finds as the verdict in the database.
        Raises as `open`.

        Only one restore check runs at a time in a process. A caller that waited while the check of
        another caller began and ended gets the result of that check. `progress` is awaited after
        each page of records, and every second while another check runs.
        """
        begun_before = self._checks_begun
        await self._turn(progress)
        try:
            if self._answer is not None and self._answer[0] > begun_before:
                return self._answer[1]
            self._checks_begun += 1
            answer = await self._ask(progress)
            self._answer = (self._checks_begun, answer)
            return answer
        finally:
            self._asking.release()

    async def _turn(self, progress: Progress) -> None:
        """Waits for the lock on the check, which is held on return."""
        while True:
            try:
                await asyncio.wait_for(self._asking.acquire(), LOCK_WAIT_SECONDS)
            except TimeoutError:
                await progress()
            else:
                return

    async def _ask(self, progress: Progress) -> Answer:
        async with self.pool.acquire() as connection:
            identity = (await self._row(connection, "continuity", self.process))["identity"]
            answer = await self._check.ask(connection, progress)
            if answer.findings:
                await self.stop(connection, answer.findings)
            await remember_home(connection, answer.home)
            self._identity = identity
            return answer

    async def stop(self, connection: Connection, findings: Sequence[Finding]) -> NoReturn:
        """Stores the findings as the verdict in the database that they are about. Raises
        OlderDatabase.

        `connection` has to be the one over which that database was examined, and in no transaction:
        another connection might lead to another database. If the verdict cannot be stored, the
        restore check of the next start has to find the same again.
        """
        problem = findings[0].error()
        if findings[0].kind not in NO_VERDICTS:
            try:
                await put_verdict(connection, findings, self.process)
            except DATABASE_FAILURES as failure:
                log.warning(Event.VERDICT_NOT_KEPT, problem=describe(failure))
        raise problem

    async def verify(self, connection: Connection) -> None:
        """Checks that the database is still the one that was checked, for a part such as the relay,
        which reads records from the database and publishes them.

        Raises OlderDatabase, or AnotherServer if the restore check has to run first.
        """
        try:
            await self._compare(connection, "continuity", self.process)
        except CommitsLost as lost:
            await self.stop(connection, lost.findings)

    async def verify_any(self) -> None:
        """Makes the check of `verify` over any connection of the pool; runs the restore check if
        the connection leads to another database.
        """
        try:
            async with self.pool.acquire() as connection:
                await self.verify(connection)
        except AnotherServer:
            await self.recheck()

    async def count(self, connection: Connection, writer: str) -> int:
        """Adds one to the writer's count of commits in the open transaction; returns the new count.

        Raises CommitsLost, AnotherServer, or OlderDatabase; the last one means that a verdict is
        stored.
        """
        remembered = self._confirmed[writer]
        commits = await self._compare(connection, "count_commit", self.process, writer)
        if commits is None or commits <= remembered:
            raise CommitsLost(commits_lost(self.process, writer, remembered, commits))
        return commits

    def confirm(self, writer: str, commits: int) -> None:
        """Remembers the writer's new count after its transaction has committed."""
        self._confirmed[writer] = max(commits, self._confirmed[writer])

    async def recheck(self) -> None:
        """Runs the restore check again, because the server, the database or its tables are not
        those that were checked before.
        """
        log.warning(Event.DATABASE_CHANGED)
        await self.ask()

    async def _compare(self, connection: Connection, statement: str, *arguments: str) -> int | None:
        """The count after this commit, if the statement counts one.

        Raises OlderDatabase, CommitsLost, AnotherServer.
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
            raise CommitsLost(*lost)
        if row["identity"] != self._identity:
            raise AnotherServer("the database is another one than the one that was checked")
        commits_now: int | None = row["commits"]
        return commits_now

    async def _row(self, connection: Connection, statement: str, *arguments: str) -> asyncpg.Record:
        """Identity, counts and verdict. Raises OlderDatabase for a verdict, or without tables."""
        try:
            row = await connection.fetchrow(SQL[statement], *arguments)
        except asyncpg.UndefinedTableError:
            raise self._lost_everything().error() from None
        assert row is not None
        if row["verdict"] is not None:
            raise OlderDatabase(row["verdict"])
        return row

    def _lost_everything(self) -> Finding:
        """The restore check's tables, which were there at the start, are missing."""
        most = max(self._confirmed.items(), key=lambda item: item[1], default=("start", 0))
        return commits_lost(self.process, *most, None)


class Writer:
    """Makes the transactions of one part of the process, one at a time."""

    def __init__(self, guard: Guard, name: str) -> None:
        self._guard = guard
        self._name = name

    @property
    def pool(self) -> Pool:
        """The pool whose connections are used for reading."""
        return self._guard.pool

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Opens a transaction after checking that the database is the one that this process has
        worked with.

        Raises OlderDatabase, CannotAsk or AnotherServer before the transaction does anything.
        """
        for _ in range(TRIES_MAX):
            is_begun = False
            try:
                async with self._guard.pool.acquire() as connection:
                    try:
                        async with connection.transaction():
                            commits = await self._guard.count(connection, self._name)
                            is_begun = True
                            yield connection
                    except CommitsLost as lost:  # the transaction is rolled back
                        await self._guard.stop(connection, lost.findings)
            except AnotherServer:
                if is_begun:
                    raise
                # Asked while no connection is held, since the check needs one from the same pool.
                await self._guard.recheck()
            else:
                self._guard.confirm(self._name, commits)
                return
        raise AnotherServer("the database changes from one connection to the next")


class IdleCommits:
    """Makes a commit every few seconds, so that every older copy of the database has lower counts
    than the process remembers.

    Without these commits, a process that has written nothing since a backup could not notice that
    the backup was loaded into the same tables of the same server.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def run(self, stop: asyncio.Event) -> None:
        """Commits until `stop`. Raises OlderDatabase, CannotAsk, and what the database raises."""
        await repeat(self.run_once, stop, IDLE_COMMIT_MS)

    async def run_once(self) -> None:
        """Makes one commit that does nothing but count itself."""
        async with self._writer.transaction():
            pass
