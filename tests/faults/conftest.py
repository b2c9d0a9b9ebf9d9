"""The stage of a row, and the report of the rows that ran.

Each test of a row has the marker `fault` with the row's name, and the fixture `row` (or `stage`,
which has it). The marker's `processes` says how many processes each instance of the service has.
`--fault-rows` selects rows by a pattern of their names, `--fault-processes` gives each instance of
all rows at least so many, but for those with `is_alone`, and `--fault-report` names the folder of
the report, which the process that starts the tests writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.faults.databases import DATABASE, new_server
from tests.faults.network import Network
from tests.faults.proxy import Proxy
from tests.faults.report import Cells, Row, write_report
from tests.faults.stage import Stage, staged
from tests.support.services.cache import tools
from tests.support.services.kafka import LocalKafka
from tests.support.services.postgres import LocalPostgres

PROPERTY = "fault row"
StageOn = Callable[[str], AbstractAsyncContextManager[Stage]]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--fault-rows", metavar="PATTERN", help="only rows with such a name")
    group.addoption("--fault-processes", metavar="N", type=int, default=1, help="at least so many")
    group.addoption("--fault-report", metavar="FOLDER", help="where the report is written")


def pytest_configure(config: pytest.Config) -> None:
    folder = config.getoption("fault_report", default=None)
    if folder and not hasattr(config, "workerinput"):
        keep = bool(config.getoption("fault_rows"))
        config.pluginmanager.register(FaultReport(Path(folder), keep), "fault-report")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if row_name(item):
            item.user_properties.append((PROPERTY, row_of(item).cells()))
    if config.getoption("fault_report", default=None):
        pattern = config.getoption("fault_rows") or "*"
        chosen = [item for item in items if fnmatch(row_name(item), pattern) and is_row(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


def is_row(item: pytest.Item) -> bool:
    """Whether the test runs for the report: those of other folders in their small form alone."""
    is_here = item.path.is_relative_to(Path(__file__).parent)
    return bool(row_name(item)) and (is_here or item.get_closest_marker("slow") is None)


def row_name(item: pytest.Item) -> str:
    """Of the test's marker; empty for a test that is no row."""
    marker = item.get_closest_marker("fault")
    return "" if marker is None else str(marker.args[0])


def row_of(item: pytest.Item) -> Row:
    """What a test reports, before it has run."""
    marker = item.get_closest_marker("fault")
    row = Row(row_name(item), **({} if marker is None else marker.kwargs))
    if not row.is_alone:
        row.processes = max(row.processes, item.config.getoption("fault_processes"))
    return row


class FaultReport:
    """Gathers the rows, also those that ran in other processes, and writes them at the end."""

    def __init__(self, folder: Path, keep: bool) -> None:
        self._folder = folder
        self._keep = keep
        self._rows: dict[str, Cells] = {}
        self._outcomes: dict[str, tuple[str, list[str]]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Notes how the test has ended. A failure of any phase stands from then on, also that of
        the teardown after a call that passed.
        """
        if report.failed:
            self._outcomes[report.nodeid] = report.outcome, []
        elif report.skipped and isinstance(report.longrepr, tuple):
            why = report.longrepr[2].removeprefix("Skipped: ")
            self._outcomes.setdefault(report.nodeid, ("not run", [why]))
        elif report.when == "call":
            self._outcomes.setdefault(report.nodeid, (report.outcome, []))
        for name, cells in report.user_properties:
            if name == PROPERTY and isinstance(cells, dict):
                self._rows[report.nodeid] = cells

    def pytest_sessionfinish(self) -> None:
        rows = [
            {**cells, "test": test, "outcome": outcome, "notes": [*notes, *cells["notes"]]}
            for test, cells in self._rows.items()
            for outcome, notes in [self._outcomes.get(test, ("not run", ["Interrupted."]))]
        ]
        write_report(self._folder, rows, keep=self._keep)


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Iterator[Row]:
    """What the test reports of its row."""
    row = row_of(request.node)
    yield row
    request.node.user_properties.append((PROPERTY, row.cells()))


@pytest.fixture
def stage_on(row: Row, bootstrap_servers: str, topic_prefix: str, tmp_path: Path) -> StageOn:
    """Makes a stage on the database of a URL, with topics of the row's own."""
    return lambda url: staged(row, url, bootstrap_servers, tmp_path, topic_prefix)


@pytest.fixture
async def stage(stage_on: StageOn, database_url: str) -> AsyncIterator[Stage]:
    """On the servers of the session, with topics and a database of the row's own."""
    async with stage_on(database_url) as stage:
        yield stage


@pytest.fixture
async def empty_stage(stage_on: StageOn, empty_database_url: str) -> AsyncIterator[Stage]:
    """The same on a database that has no tables so far."""
    async with stage_on(empty_database_url) as stage:
        yield stage


@pytest.fixture
async def server(request: pytest.FixtureRequest) -> AsyncIterator[LocalPostgres]:
    """A PostgreSQL of the row's own, with an empty database; its parameter, if the row has one, is
    a mapping of the server's settings.
    """
    async with new_server(getattr(request, "param", {})) as server:
        yield server


@pytest.fixture
async def server_stage(stage_on: StageOn, server: LocalPostgres) -> AsyncIterator[Stage]:
    """A stage on the database of `server`, to which nothing has connected so far."""
    async with stage_on(server.url(DATABASE)) as stage:
        yield stage


@pytest.fixture(scope="session")
async def proxied_broker() -> AsyncIterator[tuple[LocalKafka, Proxy]]:
    """A broker of its own that advertises a proxy on its second listener."""
    proxy = await Proxy.to("127.0.0.1", 0)
    broker = LocalKafka(tools(lambda _: None), proxy_port=proxy.port)
    proxy.target = ("127.0.0.1", broker.proxied_port)
    try:
        await asyncio.to_thread(broker.start)
        yield broker, proxy
    finally:
        await asyncio.to_thread(broker.close)
        await proxy.close()


@pytest.fixture
async def network(
    row: Row, database_url: str, proxied_broker: tuple[LocalKafka, Proxy], tmp_path: Path
) -> AsyncIterator[Network]:
    """A stage behind proxies, which let everything pass until the row says otherwise."""
    broker, kafka = proxied_broker
    async with staged(row, database_url, broker.bootstrap_servers(), tmp_path) as stage:
        network = await Network.of(stage, kafka)
        try:
            yield network
        finally:
            await network.postgres.close()
            kafka.calm()


@pytest.fixture
async def database_network(stage: Stage) -> AsyncIterator[Network]:
    """A stage on the servers of the session, with a proxy before PostgreSQL alone."""
    network = await Network.of(stage, None)
    try:
        yield network
    finally:
        await stage.close()
        await network.postgres.close()
