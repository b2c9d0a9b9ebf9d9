"""What random faults need: servers that can be killed, proxies before them, and a stage."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.faults.blocking import MODULE, SECONDS
from tests.faults.filters import LostAcknowledgements, LostCommits
from tests.faults.members import Member
from tests.faults.network import Network
from tests.faults.proxy import Proxy
from tests.faults.report import Row
from tests.faults.stage import Stage, staged
from tests.support.process import connected
from tests.support.services.cache import tools
from tests.support.services.kafka import LocalKafka
from tests.support.services.postgres import LocalPostgres, start_postgres

NAMES = ("one", "two")


@dataclass(frozen=True)
class Servers:
    """A broker behind a proxy, and a database server."""

    kafka: LocalKafka
    kafka_proxy: Proxy
    postgres: LocalPostgres


@dataclass(frozen=True)
class Ground:
    """A stage whose servers, network and processes a kind of fault may take hold of."""

    servers: Servers
    network: Network
    random: Random
    commits: LostCommits
    acknowledgements: LostAcknowledgements

    @property
    def stage(self) -> Stage:
        """Of the round."""
        return self.network.stage

    def member(self) -> Member:
        """Any instance."""
        return self.stage.members[self.random.choice(NAMES)]


@contextlib.asynccontextmanager
async def running_servers() -> AsyncIterator[Servers]:
    """Of the caller's own; the database waits for its disk, as in production."""
    files = tools(lambda text: print(text, flush=True))
    proxy = await Proxy.to("127.0.0.1", 0)
    kafka = LocalKafka(files, proxy_port=proxy.port)
    proxy.target = ("127.0.0.1", kafka.proxied_port)
    try:
        postgres = await asyncio.to_thread(start_postgres, files.packages)
        try:
            await asyncio.to_thread(kafka.start)
            yield Servers(kafka, proxy, postgres)
        finally:
            await asyncio.to_thread(postgres.close)
    finally:
        await asyncio.to_thread(kafka.close)
        await proxy.close()


@contextlib.asynccontextmanager
async def new_ground(servers: Servers, row: Row, seed: int, folder: Path) -> AsyncIterator[Ground]:
    """With a new database and new topics, and two instances that are started again and again."""
    name = f"bursar_{uuid.uuid4().hex[:12]}"
    await _execute(servers, f'CREATE DATABASE "{name}"')
    url, brokers = servers.postgres.url(name), servers.kafka.bootstrap_servers()
    async with staged(row, url, brokers, folder, seed=seed) as stage:
        network = await Network.of(stage, servers.kafka_proxy)
        try:
            await stage.start(*NAMES, restart=True, module=MODULE, settings={SECONDS: str(8)})
            yield Ground(
                servers,
                network,
                Random(seed),
                LostCommits(network.postgres),
                LostAcknowledgements(servers.kafka_proxy),
            )
        finally:
            servers.kafka_proxy.calm()
            await stage.close()
            await network.postgres.close()
    await _execute(servers, f'DROP DATABASE "{name}" WITH (FORCE)')


async def _execute(servers: Servers, statement: str) -> None:
    async with connected(servers.postgres.url()) as connection:
        await connection.execute(statement)
