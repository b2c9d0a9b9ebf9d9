"""A stage whose processes reach Kafka and PostgreSQL through proxies, and what these may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from tests.faults.proxy import Mode, Proxy
from tests.faults.stage import Stage

LASTS_SECONDS = 12  # longer than a session of the group, and than a request's time limit
RESETS = 8


@dataclass(frozen=True)
class Network:
    """The stage's processes know the addresses of the proxies alone; its judges go past them.

    Without a proxy for Kafka, they reach its brokers themselves.
    """

    stage: Stage
    kafka: Proxy | None
    postgres: Proxy

    @classmethod
    async def of(cls, stage: Stage, kafka: Proxy | None) -> Network:
        """`kafka` is what the broker advertises; the other proxy is made here."""
        url = urlsplit(stage.site.database_url)
        assert url.hostname is not None
        postgres = await Proxy.to(url.hostname, url.port or 5432)
        user = url.netloc.rpartition("@")[0]
        through = url._replace(netloc=f"{user}@{postgres.address}")
        stage.site.settings = {
            **stage.site.settings,
            "DATABASE_URL": urlunsplit(through),
            "KAFKA_BOOTSTRAP_SERVERS": stage.site.servers if kafka is None else kafka.address,
        }
        return cls(stage, kafka, postgres)

    def proxy(self, server: str) -> Proxy:
        """Of `kafka` or `postgres`."""
        proxy = self.kafka if server == "kafka" else self.postgres
        assert proxy is not None
        return proxy


async def _in_mode(stage: Stage, proxy: Proxy, mode: Mode) -> None:
    stage.row.count(mode)
    proxy.mode = mode
    try:
        await stage.lasts(LASTS_SECONDS)
    finally:
        proxy.mode = Mode.PASS


async def drop(stage: Stage, proxy: Proxy) -> None:
    """Connections end, and none is accepted for a while."""
    await _in_mode(stage, proxy, Mode.DROP)


async def black_hole(stage: Stage, proxy: Proxy) -> None:
    """Connections stand and are accepted, and nothing goes through for a while."""
    await _in_mode(stage, proxy, Mode.BLACK_HOLE)


async def latency(stage: Stage, proxy: Proxy) -> None:
    """Whatever goes through is half a second late, there and back."""
    await _in_mode(stage, proxy, Mode.LATENCY)


async def trickle(stage: Stage, proxy: Proxy) -> None:
    """Each connection lets one byte a second through for a while, in each direction."""
    await _in_mode(stage, proxy, Mode.TRICKLE)


async def slow_line(stage: Stage, proxy: Proxy) -> None:
    """Each connection lets some 6 kB a second through for a while, in small pieces."""
    await _in_mode(stage, proxy, Mode.SLOW_LINE)


async def reset(stage: Stage, proxy: Proxy) -> None:
    """All connections are reset, again and again, whenever there was progress."""
    for _ in range(RESETS):
        stage.row.count("reset connection", proxy.reset())
        await stage.until_progress()


async def half_open(stage: Stage, proxy: Proxy) -> None:
    """The servers end all connections, of which the service is not told."""
    stage.row.count("half-open connection", proxy.half_open())


FAULTS: Mapping[str, Callable[[Stage, Proxy], Awaitable[None]]] = {
    "drop": drop,
    "reset": reset,
    "black-hole": black_hole,
    "half-open": half_open,
    "one-byte": trickle,
    "slow-line": slow_line,
    "latency": latency,
}
