"""Views and a function for what several statements ask in the same way."""

from alembic import context

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Runs the statements of 0019_shared_queries.sql."""
    context.config.attributes["run_sql_file"]("0019_shared_queries.sql")
