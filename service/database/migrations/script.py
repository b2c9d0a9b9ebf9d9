"""Runs one numbered SQL file inside its revision's transaction."""

from importlib import resources

import asyncpg
from alembic import op
from sqlalchemy import PoolProxiedConnection

from ...runtime.failures import LOGIN_FAILED, TRANSIENT
from ...runtime.problems import Bug


class BrokenMigration(Bug):
    """PostgreSQL refuses a statement of a migration: it is wrong, or it does not fit the data."""

    def __init__(self, file: str, sql: str, problem: asyncpg.PostgresError) -> None:
        position = getattr(problem, "position", None)  # in characters from 1, of syntax errors
        line = f", line {sql.count(chr(10), 0, int(position) - 1) + 1}" if position else ""
        constraint = getattr(problem, "constraint_name", None)
        broken = f", constraint {constraint}" if constraint else ""
        super().__init__(f"{file}{line}: {type(problem).__name__} {problem.sqlstate}{broken}")


def run(file: str, lock_wait_seconds_max: int = 30) -> None:
    """The whole file, many statements; `file` lies beside this module.

    Waits that long for each lock: a running instance would queue behind a longer wait. Raises
    BrokenMigration; and whatever the database raises while it is away or in the way.
    """
    sql = resources.files(__package__).joinpath(file).read_text("utf-8")
    # The first statement also opens the transaction: the driver's adapter begins it lazily.
    op.execute(f"SET LOCAL lock_timeout = '{lock_wait_seconds_max}s'")
    proxied: PoolProxiedConnection = op.get_bind().connection
    adapted = proxied.dbapi_connection
    assert adapted is not None
    raw = proxied.driver_connection
    assert raw is not None
    assert raw.is_in_transaction(), "a migration must be inside its transaction"
    # By the simple protocol: SQLAlchemy would prepare it, which takes one statement only.
    try:
        adapted.run_async(lambda connection: connection.execute(sql))
    except (*TRANSIENT, *LOGIN_FAILED):
        raise
    except asyncpg.PostgresError as problem:
        raise BrokenMigration(file, sql, problem) from problem
