"""Migration 0002: creates the views and functions from which reports read."""

from alembic import context

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Runs the statements of 0002_reports.sql."""
    context.config.attributes["run_sql_file"]("0002_reports.sql")
