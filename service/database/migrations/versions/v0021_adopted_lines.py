"""Migration 0021: adds the index by which adopted export lines that wait for fines of an account
are found.
"""

from alembic import context

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Runs the statements of 0021_adopted_lines.sql."""
    context.config.attributes["run_sql_file"]("0021_adopted_lines.sql")
