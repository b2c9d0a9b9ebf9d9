"""Runs whose progress is kept between pages, and batches whose bytes cannot be changed."""

from service.database.migrations import script

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    script.run("0009_export_runs.sql")
