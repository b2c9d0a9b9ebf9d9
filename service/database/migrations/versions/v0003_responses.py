"""Migration 0003: adds columns that keep the content of a bursar's response to a batch, and when it
came.
"""

from alembic import context

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Runs the statements of 0003_responses.sql."""
    context.config.attributes["run_sql_file"]("0003_responses.sql")
