"""Records as they come: adjusted fines, partial reversals, sums without a line, shorter ids."""

from alembic import context

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Runs the statements of 0015_records.sql."""
    context.config.attributes["run_sql_file"]("0015_records.sql")
