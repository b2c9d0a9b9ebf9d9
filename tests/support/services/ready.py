"""Is a service ready? Asked with the clients' own protocols, never by an open port alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import asyncpg
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.support.services.problem import ServicesUnavailable

PAUSE_SECONDS = 0.05


def always() -> bool:
    return True


def wait_for_postgres(url: str, seconds_max: float, alive: Callable[[], bool] = always) -> None:
    """Returns when a query is answered; raises after the deadline or when `alive` says no."""
    with ThreadPoolExecutor(1) as thread:  # the caller may be inside an event loop
        _wait(
            "PostgreSQL",
            lambda: thread.submit(asyncio.run, _query(url)).result(),
            seconds_max,
            alive,
        )


def wait_for_kafka(servers: str, seconds_max: float, alive: Callable[[], bool] = always) -> None:
    """Returns when a broker is registered; raises after the deadline or when `alive` says no."""
    admin = AdminClient(
        {"bootstrap.servers": servers, "log_level": 0, "reconnect.backoff.max.ms": 200}
    )
    _wait("Kafka", lambda: _brokers(admin), seconds_max, alive)


def _wait(
    name: str, probe: Callable[[], str | None], seconds_max: float, alive: Callable[[], bool]
) -> None:
    deadline = time.monotonic() + seconds_max
    while (problem := probe()) is not None:
        if not alive():
            raise ServicesUnavailable(f"{name} ended while it was starting")
        if time.monotonic() > deadline:
            raise ServicesUnavailable(f"{name} is not ready after {seconds_max:.0f} s: {problem}")
        time.sleep(PAUSE_SECONDS)


async def _query(url: str) -> str | None:
    try:
        connection = await asyncpg.connect(url, timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as problem:
        return f"{type(problem).__name__}: {problem}"
    try:
        await connection.execute("SELECT 1")
    finally:
        await connection.close()
    return None


def _brokers(admin: AdminClient) -> str | None:
    try:
        return None if admin.list_topics(timeout=1).brokers else "no broker has registered"
    except KafkaException as problem:
        return str(problem.args[0])
