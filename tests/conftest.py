"""Fixtures for whatever needs a database or a broker; a test that asks for none starts none."""

from __future__ import annotations

import contextlib
import gc
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import hypothesis
import pytest
from confluent_kafka.admin import AdminClient

from tests.support.order import dealt
from tests.support.programs import close_starter
from tests.support.services import Services, ServicesUnavailable, running_services

if TYPE_CHECKING:
    from tests.support.write_path import WritePath


class WorkerNode(Protocol):
    """A process that runs tests, as its parent sees it; xdist has no types."""

    config: pytest.Config
    workerinput: dict[str, object]


# How long an example takes to make or to run tells of the machine, not of the code.
UNTIMED = hypothesis.settings(
    deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("default", UNTIMED, max_examples=60)
hypothesis.settings.register_profile("thorough", UNTIMED, max_examples=2_000)
hypothesis.settings.register_profile("quick", UNTIMED, max_examples=20)
# The same examples in each run: whether a mutant is noticed is no matter of chance.
hypothesis.settings.register_profile("mutation", UNTIMED, max_examples=20, derandomize=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

TOPIC_DELETE_SECONDS_MAX = 10


SHARED = pytest.StashKey[tuple[contextlib.ExitStack, Services]]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """With workers side by side their parent has the services, one pair for all of them."""
    config = session.config
    if config.getoption("numprocesses", default=None) and not hasattr(config, "workerinput"):
        stack = contextlib.ExitStack()
        config.stash[SHARED] = stack, stack.enter_context(_running(config))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    workers = getattr(config, "workerinput", {}).get("workercount")
    if workers is not None:
        items[:] = dealt(items, workers)


def pytest_collection_finish() -> None:
    """The modules and tests stay to the end: the garbage collector need not look through them, nor
    through what tests keep of syntax trees, as often as it would by itself.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_configure_node(node: WorkerNode) -> None:
    if SHARED in node.config.stash:
        node.workerinput["services"] = asdict(node.config.stash[SHARED][1])


def pytest_sessionfinish(session: pytest.Session) -> None:
    if SHARED in session.config.stash:
        session.config.stash[SHARED][0].close()


@pytest.fixture(scope="session")
def services(request: pytest.FixtureRequest) -> Iterator[Services]:
    """PostgreSQL and Kafka, one pair for the session; what cannot be had ends the session."""
    given = getattr(request.config, "workerinput", {}).get("services")
    if given is not None:
        yield Services(**given)
        return
    with _running(request.config) as running:
        yield running


@pytest.fixture(scope="session", autouse=True)
def starter_closed() -> Iterator[None]:
    """What starts programs ends with the tests, before their coverage is combined."""
    yield
    close_starter()


@contextlib.contextmanager
def _running(config: pytest.Config) -> Iterator[Services]:
    capture = config.pluginmanager.getplugin("capturemanager")

    def tell(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\nservices: {text}", flush=True)

    try:
        with running_services(tell, durable=False) as running:
            yield running
    except ServicesUnavailable as problem:
        pytest.exit(f"tests need PostgreSQL and Kafka.\n{problem}", returncode=3)


@pytest.fixture
def without_coverage(monkeypatch: pytest.MonkeyPatch) -> None:
    """New Pythons that the test starts are not measured: what they run, other tests cover.

    Not for tests that start programs by `start_program`: their shared starter has to be measured.
    """
    for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
async def database_template(services: Services) -> AsyncIterator[str]:
    """The name of a migrated database that nobody connects to: the mould of each test's own."""
    from service.database.migrate import migrate

    name = f"bursar_template_{uuid.uuid4().hex[:12]}"
    await _execute(services.database_url, f'CREATE DATABASE "{name}"')
    try:
        await migrate(with_database(services.database_url, name))
        await _execute(services.database_url, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        yield name
    finally:
        await _execute(services.database_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def database_url(services: Services, database_template: str) -> AsyncIterator[str]:
    """The URL of a migrated, empty database of this test's own."""
    async with _database_of(services, database_template) as url:
        yield url


@contextlib.asynccontextmanager
async def _database_of(services: Services, template: str) -> AsyncIterator[str]:
    name = f"bursar_test_{uuid.uuid4().hex[:12]}"
    # The files are copied: to write the whole database to the log would take four times as long.
    await _execute(
        services.database_url,
        f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY',
    )
    try:
        yield with_database(services.database_url, name)
    finally:
        await _execute(services.database_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
async def path(database_url: str) -> AsyncIterator[WritePath]:
    """The write path on the test's database; a module that needs records first overrides it."""
    from tests.support.write_path import write_path  # only tests with a database need it

    async with write_path(database_url) as path:
        yield path


@pytest.fixture
async def new_database(
    services: Services, database_template: str
) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """Makes further databases of this test's own, migrated and empty; returns the URL of each."""
    async with contextlib.AsyncExitStack() as stack:
        yield lambda: stack.enter_async_context(_database_of(services, database_template))


@pytest.fixture
async def empty_database_url(services: Services) -> AsyncIterator[str]:
    """The URL of a database of this test's own with nothing in it."""
    name = f"bursar_empty_{uuid.uuid4().hex[:12]}"
    await _execute(services.database_url, f'CREATE DATABASE "{name}"')
    try:
        yield with_database(services.database_url, name)
    finally:
        await _execute(services.database_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def bootstrap_servers(services: Services) -> str:
    """The broker's address, as Kafka clients take it."""
    return services.kafka_bootstrap_servers


@pytest.fixture(scope="session")
def kafka_admin(bootstrap_servers: str) -> AdminClient:
    """An admin client of the second Kafka implementation, for set-up and clearing away."""
    return AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})


@pytest.fixture
def topic_prefix(kafka_admin: AdminClient) -> Iterator[str]:
    """A prefix for this test's topics; whatever has it is deleted afterwards."""
    prefix = f"t{uuid.uuid4().hex[:8]}."
    yield prefix
    listed = kafka_admin.list_topics(timeout=TOPIC_DELETE_SECONDS_MAX).topics
    topics = [name for name in listed if name.startswith(prefix)]
    if topics:
        done = kafka_admin.delete_topics(topics, operation_timeout=TOPIC_DELETE_SECONDS_MAX)
        for future in done.values():
            future.result(TOPIC_DELETE_SECONDS_MAX)


@pytest.fixture
def group_id() -> str:
    """A consumer group of this test's own."""
    return f"g{uuid.uuid4().hex[:8]}"


def with_database(url: str, name: str) -> str:
    """The same server and user, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
