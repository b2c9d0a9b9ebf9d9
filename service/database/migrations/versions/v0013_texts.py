"""Migration 0013: moves free texts of people into a table of their own, where they can be erased,
and adds an index that finds imported files by their hash.
"""

from alembic import context

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Runs the statements of 0013_texts.sql."""
    context.config.attributes["run_sql_file"]("0013_texts.sql")
