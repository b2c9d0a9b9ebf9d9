"""Fines that are not exported because a change of theirs has failed."""

from alembic import context

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Runs the statements of 0010_failed_changes.sql."""
    context.config.attributes["run_sql_file"]("0010_failed_changes.sql")
