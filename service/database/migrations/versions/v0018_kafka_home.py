"""Migration 0018: creates the table that says to which Kafka cluster and topic prefix the database
belongs.
"""

from alembic import context

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Runs the statements of 0018_kafka_home.sql."""
    context.config.attributes["run_sql_file"]("0018_kafka_home.sql")
