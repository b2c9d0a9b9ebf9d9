"""Topics that bad records in a row have stopped, and the records that wait for a person."""

from alembic import context

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Runs the statements of 0020_intake_stops.sql."""
    context.config.attributes["run_sql_file"]("0020_intake_stops.sql")
