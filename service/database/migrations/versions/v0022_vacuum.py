"""Migration 0022: leaves room for new versions of accounts and patrons, and says when autovacuum
comes to the tables of which most is written.
"""

from alembic import context

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Runs the statements of 0022_vacuum.sql."""
    context.config.attributes["run_sql_file"]("0022_vacuum.sql")
