"""Migration 0015: creates tables for adjusted fines, partial reversals and payments that name only
a patron, and allows shorter ids.
"""

from alembic import context

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Runs the statements of 0015_records.sql."""
    context.config.attributes["run_sql_file"]("0015_records.sql")
