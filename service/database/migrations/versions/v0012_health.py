"""Counts of commands, the ends of runs, and when each source sent something last."""

from service.database.migrations import script

revision = "0012"
down_revision = "0010"


def upgrade() -> None:
    script.run("0012_health.sql")
