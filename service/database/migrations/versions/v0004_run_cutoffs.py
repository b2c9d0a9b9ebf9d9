"""The latest run of a profile, found without the others."""

from service.database.migrations import script

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    script.run("0004_run_cutoffs.sql")
