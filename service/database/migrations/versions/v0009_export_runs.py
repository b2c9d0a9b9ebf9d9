"""Runs whose progress is kept between pages, and batches whose bytes cannot be changed."""

from alembic import context

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Runs the statements of 0009_export_runs.sql."""
    context.config.attributes["run_sql_file"]("0009_export_runs.sql")
