"""Migration 0014: creates the table of paused profiles, and what lists of fines without a profile
and of payments in the order of time need.
"""

from alembic import context

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Runs the statements of 0014_fines.sql."""
    context.config.attributes["run_sql_file"]("0014_fines.sql")
