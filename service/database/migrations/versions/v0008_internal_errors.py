"""Parked records that cannot be read or decided, set apart."""

from service.database.migrations import script

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    script.run("0008_internal_errors.sql")
