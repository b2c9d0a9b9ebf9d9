"""Migration 0004: adds an index by which a profile's latest export run is found without reading the
older ones.
"""

from alembic import context

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Runs the statements of 0004_run_cutoffs.sql."""
    context.config.attributes["run_sql_file"]("0004_run_cutoffs.sql")
