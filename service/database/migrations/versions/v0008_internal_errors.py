"""Migration 0008: creates the table that marks parked records for which the program failed with an
internal error.
"""

from alembic import context

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Runs the statements of 0008_internal_errors.sql."""
    context.config.attributes["run_sql_file"]("0008_internal_errors.sql")
