"""Counts of commands, the ends of runs, and when each source sent something last."""

from alembic import context

revision = "0012"
down_revision = "0010"


def upgrade() -> None:
    """Runs the statements of 0012_health.sql."""
    context.config.attributes["run_sql_file"]("0012_health.sql")
