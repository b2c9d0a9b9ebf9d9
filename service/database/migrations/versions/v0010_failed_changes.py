"""Fines that are not exported because a change of theirs has failed."""

from service.database.migrations import script

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    script.run("0010_failed_changes.sql")
