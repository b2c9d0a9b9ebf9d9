"""Migration 0010: adds the column and index by which fines are found that may not be exported
because a change of them has failed.
"""

from alembic import context

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Runs the statements of 0010_failed_changes.sql."""
    context.config.attributes["run_sql_file"]("0010_failed_changes.sql")
