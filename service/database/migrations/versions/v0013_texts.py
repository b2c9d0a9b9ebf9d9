"""Free texts beside the ledger, where they can be erased, and files found by their content."""

from service.database.migrations import script

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    script.run("0013_texts.sql")
