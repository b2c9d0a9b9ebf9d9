"""Indexes for statements that read whole tables, and whose turn it is to reconcile."""

from alembic import context

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Runs the statements of 0007_plans.sql."""
    context.config.attributes["run_sql_file"]("0007_plans.sql")
