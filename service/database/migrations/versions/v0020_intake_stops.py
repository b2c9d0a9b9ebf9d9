"""Migration 0020: creates the tables of input topics that bad records have stopped, and of the
records that wait until an operator resumes them.
"""

from alembic import context

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Runs the statements of 0020_intake_stops.sql."""
    context.config.attributes["run_sql_file"]("0020_intake_stops.sql")
