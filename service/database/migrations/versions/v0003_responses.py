"""What an answer of the bursar said, and when it came."""

from service.database.migrations import script

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    script.run("0003_responses.sql")
