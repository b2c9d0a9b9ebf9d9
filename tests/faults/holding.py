"""Which process is in the middle of a commit, and which one holds the relay's lease."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from tests.faults.members import Member
from tests.faults.stage import Stage
from tests.support.process import connected

LOCK_ACCOUNTS = (
    "SELECT institution_id FROM account ORDER BY institution_id, patron_id, currency FOR UPDATE"
)
SECONDS_MAX = 180
IN_COMMIT = (
    "SELECT client_port FROM pg_stat_activity WHERE datname = current_database()"
    " AND wait_event_type = 'Lock' AND application_name = 'bursar-bridge'"
)


@contextlib.asynccontextmanager
async def held_accounts(stage: Stage) -> AsyncIterator[None]:
    """All accounts are locked by a rival, so that commits stop in their middle."""
    async with connected(stage.site.database_url) as rival, rival.transaction():
        await rival.execute(LOCK_ACCOUNTS)
        yield


async def member_in_commit(stage: Stage) -> Member:
    """The member of which a process's commit waits for a lock first."""
    members: list[Member] = []

    async def is_in_commit() -> bool:
        for row in await stage.site.rows(IN_COMMIT):
            port = int(str(row["client_port"]))
            members.extend(each for each in stage.members.values() if _is_of(each, port))
        return bool(members)

    await stage.until(is_in_commit, SECONDS_MAX)
    return members[0]


async def lease_holder(stage: Stage) -> Member:
    """The member whose relay sends now."""
    members: list[Member] = []

    async def is_held() -> bool:
        rows = await stage.site.rows("SELECT fence FROM relay_lease WHERE expires_at > now()")
        for row in rows:
            mark = f'"fence": {row["fence"]}, "event": "lease_taken"'
            members.extend(
                each for each in stage.members.values() if mark in each.log.read_text("utf-8")
            )
        return bool(members)

    await stage.until(is_held, SECONDS_MAX)
    return members[0]


def _is_of(member: Member, port: int) -> bool:
    """Whether a connection of any of the member's processes has this port on its side."""
    pids = (member.pid, *(child.pid for child in member.children))
    return any(_has_port(pid, port) for pid in pids)


def _has_port(pid: int, port: int) -> bool:
    """Whether a connection of the process has this port on its side."""
    inodes = set(_inodes(port))
    with contextlib.suppress(FileNotFoundError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if descriptor.readlink().name in inodes:
                    return True
    return False


def _inodes(port: int) -> Iterator[str]:
    """The names of the sockets that have the port on their side."""
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        cells = row.split()
        if int(cells[1].rpartition(":")[2], 16) == port:
            yield f"socket:[{cells[9]}]"
