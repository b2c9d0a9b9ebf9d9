"""What readers of the output topics have seen, before and after: nothing with two meanings."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import TypedDict

from tests.support.process import Site
from tests.support.topics import read_topic

Account = tuple[str, str, str]


class Balance(TypedDict):
    """The two balances of an event, as it prints them."""

    active: str
    transferred: str


class Event(TypedDict):
    """What is read of a balance-changed event."""

    institution_id: str
    patron_id: str
    currency: str
    epoch: int
    sequence: int
    balance: Balance


def twice_billed(site: Site) -> Iterator[str]:
    """Batch numbers with two contents, and fines with two lines of which none was refused."""
    contents: dict[str, set[bytes]] = defaultdict(set)
    for record in read_topic(site.servers, site.topic("export-batch.v1")):
        headers = dict(record.headers)
        contents[headers["ce_id"].decode()].add(record.value or b"")
    for name, values in contents.items():
        if len(values) > 1:
            yield f"batch {name} was published with {len(values)} contents"


def latest_balances(site: Site) -> dict[Account, tuple[str, str]]:
    """What a reader knows that keeps the highest (epoch, sequence) of each account: the active and
    the transferred balance.
    """
    latest: dict[Account, Event] = {}
    for record in read_topic(site.servers, site.topic("balance-changed.v1")):
        event: Event = json.loads(record.value or b"")
        account = (event["institution_id"], event["patron_id"], event["currency"])
        if account not in latest or _place(event) > _place(latest[account]):
            latest[account] = event
    return {
        account: (event["balance"]["active"], event["balance"]["transferred"])
        for account, event in latest.items()
    }


def _place(event: Event) -> tuple[int, int]:
    return event["epoch"], event["sequence"]


async def misled_readers(site: Site) -> list[str]:
    """Accounts whose latest event says something else than the database."""
    columns = "institution_id, patron_id, currency, active, transferred"
    stored = {
        (str(row["institution_id"]), str(row["patron_id"]), str(row["currency"])): (
            row["active"],
            row["transferred"],
        )
        for row in await site.rows(f"SELECT {columns} FROM account")
    }
    published = {
        account: tuple(int(amount.replace(".", "")) for amount in balances)
        for account, balances in latest_balances(site).items()
    }
    return [
        f"account {account}: readers know {published.get(account)}, the ledger has "
        f"{stored.get(account)}"
        for account in sorted(stored.keys() | published.keys())
        if stored.get(account, (0, 0)) != published.get(account, (0, 0))
    ]
