"""Views and functions for reports."""

from service.database.migrations import script

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    script.run("0002_reports.sql")
