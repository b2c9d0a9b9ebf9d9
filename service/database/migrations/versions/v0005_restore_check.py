"""What tells that an older database was restored, and the verdict."""

from service.database.migrations import script

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    script.run("0005_restore_check.sql")
