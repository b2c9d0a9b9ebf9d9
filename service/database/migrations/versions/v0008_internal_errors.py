"""Parked records that cannot be read or decided, set apart."""

from alembic import context

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Runs the statements of 0008_internal_errors.sql."""
    context.config.attributes["run_sql_file"]("0008_internal_errors.sql")
