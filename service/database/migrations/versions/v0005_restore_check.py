"""Migration 0005: creates the tables by which the service recognises that an older database was
restored, and stores that verdict.
"""

from alembic import context

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Runs the statements of 0005_restore_check.sql."""
    context.config.attributes["run_sql_file"]("0005_restore_check.sql")
