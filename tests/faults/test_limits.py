"""The database is slow, or the service runs out of connections or of file handles, under load."""

from __future__ import annotations

import resource
import uuid
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from tests.faults.databases import FEW_EVENTS
from tests.faults.network import Network
from tests.faults.proxy import Mode
from tests.faults.signs import Signs
from tests.faults.stage import Stage
from tests.support.process import connected
from tests.support.services import Services
from tests.support.waiting import until

END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1"
FEW = 3  # the service opens up to eight
HANDLES_LEFT = 8
ANSWER_SECONDS = 0.5
MEMORY_BYTES_MAX = 300 * 2**20


@pytest.fixture
async def user(services: Services, empty_database_url: str) -> AsyncIterator[str]:
    """The name of a user who owns the database, and whose connections can be limited; those of a
    superuser cannot.
    """
    name = f"limited_{uuid.uuid4().hex[:8]}"
    database = urlsplit(empty_database_url).path.removeprefix("/")
    async with connected(services.database_url) as connection:
        await connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
        await connection.execute(f'ALTER DATABASE "{database}" OWNER TO {name}')
        try:
            yield name
        finally:
            await connection.execute(END_SESSIONS, name)
            await connection.execute(f'ALTER DATABASE "{database}" OWNER TO CURRENT_USER')
            async with connected(empty_database_url) as inside:
                await inside.execute(f"REASSIGN OWNED BY {name} TO CURRENT_USER")
                await inside.execute(f"DROP OWNED BY {name}")
            await connection.execute(f"DROP ROLE {name}")


def url_for(user: str, url: str) -> str:
    """The URL with this user, whose password is the name."""
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{user}:{user}@{address}").geturl()


@pytest.mark.slow
@pytest.mark.fault("connections-exhausted")
async def test_a_server_without_a_connection_left_is_named_and_waited_for(
    services: Services, user: str, empty_stage: Stage
) -> None:
    """First some connections are left, then none."""
    stage, url = empty_stage, url_for(user, empty_stage.site.database_url)
    await stage.start("one", "two", settings={"DATABASE_URL": url})
    signs = Signs(stage, "one")
    async with connected(services.database_url) as server:

        async def harm() -> None:
            for limit in (FEW, 0):
                stage.row.count(f"connections limited to {limit}")
                await server.execute(f"ALTER ROLE {user} CONNECTION LIMIT {limit}")
                await server.execute(END_SESSIONS, user)
                if limit:
                    await stage.until_progress()
            await signs.until_not_ready("database")
            assert "no connection left" in await signs.checked(url)
            await server.execute(f"ALTER ROLE {user} CONNECTION LIMIT -1")
            await signs.until_ready()

        await stage.under_load(harm, FEW_EVENTS)
    assert stage.row.restarts == 0


@pytest.mark.slow
@pytest.mark.fault("slow-database")
async def test_a_database_that_answers_after_half_a_second_is_worked_with_in_bounded_memory(
    database_network: Network,
) -> None:
    stage, proxy = database_network.stage, database_network.postgres
    await stage.start("one", "two")

    async def harm() -> None:
        stage.row.count("answers after 500 ms")
        proxy.latency_seconds = ANSWER_SECONDS / 2  # in each direction
        proxy.mode = Mode.LATENCY
        await stage.until_progress()
        proxy.mode = Mode.PASS

    await stage.under_load(harm, FEW_EVENTS)
    assert stage.row.restarts == 0
    assert stage.row.peak_bytes < MEMORY_BYTES_MAX


@pytest.mark.slow
@pytest.mark.fault("no-file-handles")
async def test_a_process_without_file_handles_is_not_ready_and_goes_on_when_it_has_some(
    stage: Stage,
) -> None:
    """All connections are ended, and one instance can open none, nor a file."""
    await stage.start("one", "two")
    member, signs = stage.members["one"], Signs(stage, "one")

    async def harm() -> None:
        stage.row.count("no file handles")
        before = missing_handles(signs)
        pids = [member.pid, *(child.pid for child in member.children)]
        limits = resource.prlimit(member.pid, resource.RLIMIT_NOFILE)
        for pid in pids:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (HANDLES_LEFT, limits[1]))
        async with connected(stage.site.database_url) as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'bursar-bridge'"
            )
        await until(lambda: missing_handles(signs) > before)
        for pid in pids:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        await signs.until_ready()

    await stage.under_load(harm, FEW_EVENTS)
    assert stage.row.restarts == 0


def missing_handles(signs: Signs) -> int:
    """How often the log has given the reason why something is tried again."""
    events = ("intake_retries", "part_retries", "relay_retries")
    return sum("Too many open files" in str(e) for name in events for e in signs.logged(name))
