"""The first schema: ledger, intake offsets, outbox, exports."""

from service.database.migrations import script

revision = "0001"
down_revision = None


def upgrade() -> None:
    script.run("0001_ledger.sql")
