"""Migration 0017: adds the columns and indexes that the purge needs to remove data whose retention
has ended.
"""

from alembic import context

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Runs the statements of 0017_retention.sql."""
    context.config.attributes["run_sql_file"]("0017_retention.sql")
