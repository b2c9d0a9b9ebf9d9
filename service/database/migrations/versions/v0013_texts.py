"""Free texts beside the ledger, where they can be erased, and files found by their content."""

from alembic import context

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Runs the statements of 0013_texts.sql."""
    context.config.attributes["run_sql_file"]("0013_texts.sql")
