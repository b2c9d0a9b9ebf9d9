"""Records in quarantine: their release, and the state of their batches."""

from service.database.migrations import script

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    script.run("0006_quarantine.sql")
