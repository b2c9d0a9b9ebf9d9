"""Migration 0016: creates the tables in which `bursar-bridge recover` stores its progress and what
it took over from Kafka.
"""

from alembic import context

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Runs the statements of 0016_recovery.sql."""
    context.config.attributes["run_sql_file"]("0016_recovery.sql")
