"""Paused profiles, fines that no profile takes, and payments in order of time."""

from service.database.migrations import script

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    script.run("0014_fines.sql")
