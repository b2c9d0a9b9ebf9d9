"""The work of `bursar-bridge recovered accounts`, `decisions` and `batches`: shows what a recovery
has taken over from Kafka, and what operators have to decide again.
"""

import asyncpg
import orjson

from ..restore import recovered
from .commands.options import ShowOptions
from .lists import Listing, Row, identifier, number, sentence, word
from .session import read_database
from .tables import show
from .texts import money, with_money

BATCHES = Listing(
    "no batch was adopted",
    (
        identifier("profile"),
        number("batch_number"),
        identifier("export_number"),
        number("fine_count"),
        number("total"),
        word("currency"),
        word("document"),
        number("waiting"),
        identifier("institution_id", wide=True),
    ),
)
ACCOUNTS = Listing(
    "no account differs from what was published before the recovery",
    (
        identifier("patron_id"),
        word("currency"),
        number("published_active"),
        number("published_transferred"),
        number("active"),
        number("transferred"),
        word("last_kind"),
        identifier("last_fine_id"),
        word("last_occurred_at", wide=True),
        number("own_sequence", wide=True),
        number("published_sequence", wide=True),
        number("announced_sequence", wide=True),
        number("epoch", wide=True),
        identifier("institution_id", wide=True),
    ),
)
DECISIONS = Listing(
    "the restored database lacked no decision",
    (
        word("recorded_at"),
        word("action"),
        sentence("subject"),
        sentence("details"),
        sentence("outcome"),
        identifier("institution_id", wide=True),
        number("action_id", wide=True),
        identifier("ce_id", wide=True),
        number("epoch", wide=True),
    ),
)


def list_batches(options: ShowOptions) -> None:
    """Lists the batches that a recovery has taken over from Kafka, and how many lines of each still
    wait for their fines.
    """
    rows = read_database(recovered.batches)
    show(BATCHES, [batch_row(row) for row in rows], options.as_json, wide=options.wide)


def list_accounts(*, every: bool, wide: bool, as_json: bool) -> None:
    """Lists the accounts whose balance differs from the last one that was published before the
    recovery; with `every`, also the others.
    """
    rows = read_database(
        lambda connection: recovered.accounts(connection, differing=not every), snapshot=True
    )
    show(ACCOUNTS, [account_row(row) for row in rows], as_json, wide=wide)


def list_decisions(options: ShowOptions) -> None:
    """Lists the operators' decisions that had been published to Kafka and that the restored
    database lacked.
    """
    rows = read_database(recovered.decisions)
    show(DECISIONS, [decision_row(row) for row in rows], options.as_json, wide=options.wide)


def batch_row(row: asyncpg.Record) -> Row:
    """Returns the row that lists print for a batch that a recovery has taken over from Kafka."""
    return {**row, "total": money(row["total"], row["currency"])}


def account_row(row: asyncpg.Record) -> Row:
    """Returns the row that lists print for an account about which Kafka had newer events than the
    restored database.
    """
    return with_money(row, ("published_active", "published_transferred", "active", "transferred"))


def decision_row(row: asyncpg.Record) -> Row:
    """Returns the row that lists print for a decision that was in Kafka and not in the restored
    database.
    """
    return {**row, "subject": orjson.loads(row["subject"]), "details": orjson.loads(row["details"])}
