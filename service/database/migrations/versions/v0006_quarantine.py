"""Records in quarantine: their release, and the state of their batches."""

from alembic import context

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Runs the statements of 0006_quarantine.sql."""
    context.config.attributes["run_sql_file"]("0006_quarantine.sql")
