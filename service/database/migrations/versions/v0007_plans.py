"""Indexes for statements that read whole tables, and whose turn it is to reconcile."""

from service.database.migrations import script

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    script.run("0007_plans.sql")
