"""Paused profiles, fines that no profile takes, and payments in order of time."""

from alembic import context

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Runs the statements of 0014_fines.sql."""
    context.config.attributes["run_sql_file"]("0014_fines.sql")
