"""Computes how many member processes the service may have, from the partitions of the input topics,
and checks that the database admits their connections.
"""

import asyncpg

from ..database.reach import LoginFailed, why_unusable
from ..database.session import server_settings, statements
from ..kafka.clients import new_admin, running
from ..kafka.topics import INPUTS
from ..runtime.cores import usable_cores
from ..runtime.failures import LOGIN_FAILED
from ..runtime.problems import OperatorError, Unavailable
from ..settings import Settings
from ..settings.values import AUTO


class TooManyConnections(OperatorError):
    """The member processes together would open more connections than the database admits."""


async def count_members(settings: Settings, processes: str) -> int:
    """Returns the number of member processes that `processes`, a number or `auto`, stands for.

    Raises Unavailable for `auto` if Kafka does not answer or has no input topic.
    """
    if processes != AUTO:
        return int(processes)
    partitions = await largest_input(settings)
    if partitions == 0:
        raise Unavailable("no input topic exists, so that its partitions cannot be counted")
    return members_of(processes, usable_cores(), partitions)


def members_of(processes: str, cores: int, partitions: int) -> int:
    """Returns how many members `processes`, a number or `auto`, stands for.

    `auto` stands for one member for each CPU core, but for no more than the largest input topic has
    partitions, because only one member reads each partition.
    """
    return max(1, min(cores, partitions)) if processes == AUTO else int(processes)


async def largest_input(settings: Settings) -> int:
    """Returns how many partitions the largest input topic has; 0 if there is no input topic.

    Raises KafkaUnavailable.
    """
    names = [settings.topic_prefix + name for name in INPUTS]
    async with running(new_admin(settings)) as admin:
        present = sorted(set(names) & set(await admin.list_topics()))
        described = await admin.describe_topics(present) if present else ()
        return max((len(topic["partitions"]) for topic in described), default=0)


async def connections_admitted(settings: Settings) -> int:
    """Returns how many connections the database admits at once to the database user in the
    settings.

    Raises LoginFailed, and whatever else the driver raises.
    """
    url = settings.database_url.get_secret_value()
    try:
        connection = await asyncpg.connect(
            url,
            timeout=settings.database_connect_seconds_max,
            command_timeout=settings.database_reply_seconds_max,
            server_settings=server_settings(settings),
        )
    except LOGIN_FAILED as problem:
        raise LoginFailed(f"DATABASE_URL: {why_unusable(problem, url)}") from None
    try:
        admitted: int = await connection.fetchval(statements("server")["connections_admitted"])
        return admitted
    finally:
        await connection.close()


def connections_problem(settings: Settings, members: int, admitted: int) -> str | None:
    """Returns why the database does not admit the connections of so many members; None if
    it does.
    """
    each = settings.database_connections_max
    if members * each <= admitted:
        return None
    return (
        f"{members} x {each} connections (BURSAR_DATABASE_CONNECTIONS_MAX) are more than the "
        f"{admitted} that the database admits: lower the setting or the number of processes, or "
        "raise max_connections of PostgreSQL"
    )


async def check_connections(settings: Settings, members: int) -> None:
    """Raises TooManyConnections if the members could open more connections than are admitted."""
    problem = connections_problem(settings, members, await connections_admitted(settings))
    if problem is not None:
        raise TooManyConnections(problem)
