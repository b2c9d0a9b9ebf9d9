"""Migration 0012: creates tables for the metrics: what commands have counted, when export runs
ended, and when each source last sent a valid record.
"""

from alembic import context

revision = "0012"
down_revision = "0010"


def upgrade() -> None:
    """Runs the statements of 0012_health.sql."""
    context.config.attributes["run_sql_file"]("0012_health.sql")
