"""Migration 0001: creates the first tables, those of the ledger, the offsets of input topics, the
outbox and the exports.
"""

from alembic import context

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Runs the statements of 0001_ledger.sql."""
    context.config.attributes["run_sql_file"]("0001_ledger.sql")
