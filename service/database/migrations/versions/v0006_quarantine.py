"""Migration 0006: creates what is needed to release records from the quarantine, and to show the
state of their batches.
"""

from alembic import context

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Runs the statements of 0006_quarantine.sql."""
    context.config.attributes["run_sql_file"]("0006_quarantine.sql")
