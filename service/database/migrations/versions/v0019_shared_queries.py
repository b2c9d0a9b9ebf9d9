"""Migration 0019: creates views and a function that several SQL statements of the program share."""

from alembic import context

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Runs the statements of 0019_shared_queries.sql."""
    context.config.attributes["run_sql_file"]("0019_shared_queries.sql")
