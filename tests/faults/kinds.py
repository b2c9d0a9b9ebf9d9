"""The kinds of faults of which the random program chooses; each ends within seconds."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping

from tests.faults.ground import Ground
from tests.faults.holding import held_accounts
from tests.faults.proxy import Mode, Proxy
from tests.support.services.kafka import LocalKafka
from tests.support.services.postgres import LocalPostgres

Kind = Callable[[Ground], Awaitable[None]]
Server = LocalKafka | LocalPostgres

LOST_MAX = 5
SHORT, LONG = (0.2, 4.0), (7.0, 9.0)  # the session of an instance is 6 s


async def _lasts(ground: Ground) -> None:
    """Usually shorter than a session, and sometimes longer."""
    bounds = LONG if ground.random.random() < 0.2 else SHORT
    await ground.stage.lasts(ground.random.uniform(*bounds))


def _proxy(ground: Ground) -> Proxy:
    return ground.network.proxy(ground.random.choice(("kafka", "postgres")))


async def kill(ground: Ground) -> None:
    """An instance is killed, and started again."""
    await ground.member().kill()


async def kill_all(ground: Ground) -> None:
    """All instances at once."""
    await asyncio.gather(*(member.kill() for member in ground.stage.members.values()))


async def pause(ground: Ground) -> None:
    """An instance stands still for a while."""
    member = ground.member()
    member.signal(signal.SIGSTOP)
    try:
        await _lasts(ground)
    finally:
        member.signal(signal.SIGCONT)


async def block(ground: Ground) -> None:
    """The event loop of an instance is blocked for longer than its session."""
    member = ground.member()
    if member.has_started:  # before that, the signal would end it
        member.signal(signal.SIGUSR1)
    await _lasts(ground)


async def terminate(ground: Ground) -> None:
    """An instance is told to end, at times twice."""
    member = ground.member()
    member.signal(signal.SIGTERM)
    if ground.random.random() < 0.3:
        member.signal(signal.SIGTERM)
    await _lasts(ground)


async def reset(ground: Ground) -> None:
    """All connections with a server are reset."""
    _proxy(ground).reset()


async def half_open(ground: Ground) -> None:
    """All connections with a server are ended at its side alone."""
    _proxy(ground).half_open()
    await _lasts(ground)


async def _in_mode(ground: Ground, mode: Mode) -> None:
    proxy = _proxy(ground)
    proxy.mode = mode
    try:
        await _lasts(ground)
    finally:
        proxy.mode = Mode.PASS


async def drop(ground: Ground) -> None:
    """A server cannot be reached."""
    await _in_mode(ground, Mode.DROP)


async def black_hole(ground: Ground) -> None:
    """A server is silent."""
    await _in_mode(ground, Mode.BLACK_HOLE)


async def latency(ground: Ground) -> None:
    """A server is slow."""
    await _in_mode(ground, Mode.LATENCY)


async def trickle(ground: Ground) -> None:
    """A server's bytes come at one a second."""
    await _in_mode(ground, Mode.TRICKLE)


async def slow_line(ground: Ground) -> None:
    """A server's bytes come in small pieces, some 6 kB a second."""
    await _in_mode(ground, Mode.SLOW_LINE)


async def lost_commits(ground: Ground) -> None:
    """Of some commits the outcome is not known."""
    ground.commits.reaches_server = ground.random.random() < 0.7
    ground.commits.left = ground.random.randint(1, LOST_MAX)
    await _lasts(ground)
    ground.commits.left = 0


async def lost_acknowledgements(ground: Ground) -> None:
    """Some acknowledgements are lost, and in half of the cases an instance with them."""
    ground.acknowledgements.left = ground.random.randint(1, LOST_MAX)
    await _lasts(ground)
    ground.acknowledgements.left = 0
    if ground.random.random() < 0.5:
        await ground.member().kill()


async def _killed(ground: Ground, server: Server) -> None:
    await asyncio.to_thread(server.kill)
    await _lasts(ground)
    await asyncio.to_thread(server.start)


async def _restarted(server: Server) -> None:
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.start)


async def broker_killed(ground: Ground) -> None:
    """The broker is killed, and comes back."""
    await _killed(ground, ground.servers.kafka)


async def broker_stopped(ground: Ground) -> None:
    """The broker is stopped, and started again."""
    await _restarted(ground.servers.kafka)


async def database_killed(ground: Ground) -> None:
    """The database server is killed, and comes back."""
    await _killed(ground, ground.servers.postgres)


async def database_stopped(ground: Ground) -> None:
    """The database server is stopped, and started again."""
    await _restarted(ground.servers.postgres)


async def sessions_ended(ground: Ground) -> None:
    """All sessions of the service are ended by the database."""
    await ground.stage.site.rows(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'bursar-bridge'"
    )


async def accounts_locked(ground: Ground) -> None:
    """Somebody else has locked all accounts for a while."""
    async with held_accounts(ground.stage):
        await _lasts(ground)


KINDS: Mapping[str, Kind] = {
    "SIGKILL": kill,
    "SIGKILL of all": kill_all,
    "SIGSTOP": pause,
    "blocked event loop": block,
    "SIGTERM": terminate,
    "reset": reset,
    "half-open": half_open,
    "drop": drop,
    "black hole": black_hole,
    "latency": latency,
    "one byte a second": trickle,
    "slow line": slow_line,
    "lost commits": lost_commits,
    "lost acknowledgements": lost_acknowledgements,
    "broker killed": broker_killed,
    "broker stopped": broker_stopped,
    "database killed": database_killed,
    "database stopped": database_stopped,
    "sessions ended": sessions_ended,
    "accounts locked": accounts_locked,
}


async def once(ground: Ground) -> str:
    """One fault of a kind that chance names; returns its name when there is progress again."""
    name = ground.random.choice(sorted(KINDS))
    ground.stage.row.count(name)
    await KINDS[name](ground)
    await ground.stage.until_progress()
    return name
