"""Migration 0007: adds indexes for queries that would otherwise read whole tables, and a table that
says when the next reconciliation is due.
"""

from alembic import context

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Runs the statements of 0007_plans.sql."""
    context.config.attributes["run_sql_file"]("0007_plans.sql")
