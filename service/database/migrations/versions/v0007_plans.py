"""Indexes for look-ups that read whole tables without them."""

from service.database.migrations import script

revision = "0007"
down_revision = "0005"


def upgrade() -> None:
    script.run("0007_plans.sql")
