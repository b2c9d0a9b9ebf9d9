"""Migration 0009: creates the table that keeps the progress of an export run, and protects the
bytes of sealed batches from changes.
"""

from alembic import context

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Runs the statements of 0009_export_runs.sql."""
    context.config.attributes["run_sql_file"]("0009_export_runs.sql")
