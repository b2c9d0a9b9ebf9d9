"""Runs one numbered SQL file inside its revision's transaction."""

from importlib import resources

from alembic import op
from sqlalchemy import PoolProxiedConnection


def run(file: str, lock_wait_seconds_max: int = 30) -> None:
    """The whole file, many statements; `file` lies beside this module.

    Waits that long for each lock: a running instance would queue behind a longer wait.
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
    adapted.run_async(lambda connection: connection.execute(sql))
