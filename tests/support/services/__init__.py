"""PostgreSQL and Kafka for tests, the demo and the benchmark: whatever this machine can give.

Sources, in this order:
    environment   DATABASE_URL, KAFKA_BOOTSTRAP_SERVERS; one alone: the other from the next source
    engine        containers, if an engine answers and has, or can pull, the images
    local         processes started here, from PyPI and Maven Central (first 40 s, then 3 s)
BURSAR_SERVICES=environment|engine|local asks for one of them. What cannot be had is an error with
advice, never a skip.

    with running_services() as services:
        ...  # services.database_url, services.kafka_bootstrap_servers
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from tests.support.services.cache import tools
from tests.support.services.kafka import LocalKafka, start_kafka
from tests.support.services.postgres import WITHOUT_FSYNC, LocalPostgres, start_postgres
from tests.support.services.problem import ServicesUnavailable
from tests.support.services.ready import wait_for_kafka, wait_for_postgres

__all__ = ["Services", "ServicesUnavailable", "running_services"]

SOURCES = ("environment", "engine", "local")
ENVIRONMENT_SECONDS_MAX = 15.0

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Services:
    """Where they are. `database_url`: a maintenance database, its user may create databases."""

    database_url: str
    kafka_bootstrap_servers: str
    source: str


@dataclass(frozen=True)
class Needed:
    """What the environment left open."""

    postgres: bool
    kafka: bool
    durable: bool = True


@contextlib.contextmanager
def running_services(
    progress: Progress | None = None, *, durable: bool = True
) -> Iterator[Services]:
    """Services that answer, until the block ends; raises ServicesUnavailable with advice.

    `progress` gets a line of text when something takes its time. A PostgreSQL that is started here
    as a local process waits for its disk only if it has to be `durable`.
    """
    tell = progress or (lambda _: None)
    asked = os.environ.get("BURSAR_SERVICES") or None
    if asked not in (None, *SOURCES):
        raise ServicesUnavailable(f"BURSAR_SERVICES must be one of {', '.join(SOURCES)}")
    given = (None, None) if asked in ("engine", "local") else from_environment()
    if asked == "environment" and None in given:
        raise ServicesUnavailable(
            "BURSAR_SERVICES=environment needs DATABASE_URL and KAFKA_BOOTSTRAP_SERVERS"
        )
    needed = Needed(given[0] is None, given[1] is None, durable)
    with started(needed, asked, tell) as (rest, source):
        url, servers = given[0] or rest[0], given[1] or rest[1]
        assert url is not None
        assert servers is not None
        yield Services(url, servers, source)


def from_environment() -> tuple[str | None, str | None]:
    """The services that the environment names, each checked."""
    url = os.environ.get("DATABASE_URL") or None
    servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS") or None
    try:
        if url is not None:
            wait_for_postgres(url, ENVIRONMENT_SECONDS_MAX)
        if servers is not None:
            wait_for_kafka(servers, ENVIRONMENT_SECONDS_MAX)
    except ServicesUnavailable as problem:
        raise ServicesUnavailable(
            f"{problem}\nDATABASE_URL and KAFKA_BOOTSTRAP_SERVERS come from the environment: "
            "start what they name, or unset them to have services started here."
        ) from problem
    return url, servers


Addresses = tuple[str | None, str | None]


@contextlib.contextmanager
def started(needed: Needed, asked: str | None, tell: Progress) -> Iterator[tuple[Addresses, str]]:
    """What is needed from a container engine or as local processes, and the name of the source."""
    if not (needed.postgres or needed.kafka):
        yield (None, None), "environment"
        return
    prefix = "" if needed.postgres and needed.kafka else "environment+"
    if asked != "local":
        from tests.support.services import engine  # here, because it imports for half a second

        absent = engine.why_absent(tell)
        if absent is None:
            with engine.containers(needed.postgres, needed.kafka, tell) as result:
                yield result, prefix + "engine"
            return
        if asked == "engine":
            raise ServicesUnavailable(f"BURSAR_SERVICES=engine, but {absent}")
    with local(needed, tell) as result:
        yield result, prefix + "local"


@contextlib.contextmanager
def local(needed: Needed, tell: Progress) -> Iterator[Addresses]:
    """Both are started side by side; whatever was started is ended, also when the other failed."""
    files = tools(tell)
    tell("starting local processes")
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(2) as threads:
        settings = None if needed.durable else WITHOUT_FSYNC
        postgres = (
            threads.submit(start_postgres, files.packages, settings) if needed.postgres else None
        )
        kafka = threads.submit(start_kafka, files) if needed.kafka else None
        for future in (postgres, kafka):
            if future is not None:
                stack.callback(_close, future)
        yield (
            None if postgres is None else postgres.result().url(),
            None if kafka is None else kafka.result().bootstrap_servers(),
        )


def _close(future: Future[LocalPostgres] | Future[LocalKafka]) -> None:
    if future.exception() is None:
        future.result().close()
