"""Ends the recovery of a restored database in the running service: once the input topics have been
read again as far as the lost database had read them, balances that the readers of the events do not
have yet are published, and exports may run.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

import asyncpg
import orjson

from ..apply.applier import Applier
from ..core.changes import Transaction
from ..core.ledger import (
    Account,
    AccountKey,
    BatchKey,
    Cause,
    ExportRef,
    Fine,
    FineKey,
    LibraryRef,
    PaymentRef,
)
from ..core.words import Kind
from ..database import outbox
from ..database.session import Connection, statements
from ..database.tables import key_columns
from ..export.adopted import print_again, printable
from ..export.profiles.profile import Profile, Profiles
from ..messages.encode import encode_balance_changed
from ..runtime.telemetry import Event, get_log
from ..runtime.waiting import wait_any
from .adopted_lines import let_credits_wait, take_lines_of_known_fines

log = get_log(__name__)

SQL = statements("recovery")
LEDGER = statements("ledger")
CHECK_MS = 2_000
READING = "reading"
ACCOUNTS_PAGE = 500
KEY_WIDTH = len(AccountKey._fields)


class Mark(NamedTuple):
    """How far an input partition has to be read again before the recovery can end, and how far it
    was read so far.
    """

    topic: str
    partition: int
    next_offset: int
    read_up_to: int

    @property
    def is_reached(self) -> bool:
        """Whether the partition was read as far as the lost database had read it."""
        return self.read_up_to >= self.next_offset


async def marks(connection: Connection) -> Sequence[Mark]:
    """Returns for each input partition the mark of the last recovery: how far it has to be read
    again.
    """
    return [Mark(*row.values()) for row in await connection.fetch(SQL["marks"])]


class EndRecovery:
    """Ends the recovery that is under way, if there is one when the service starts.

    A recovery cannot begin while the service runs; so once the recovery has ended, this part makes
    no more queries. Several instances of the service may work at ending the recovery: they take
    turns, one page of accounts each. `profiles` are the export profiles with which the XML of
    batches is printed again if Kafka has lost it, and `topic` is the topic of the batches.
    """

    def __init__(self, applier: Applier, profiles: Profiles, topic: str) -> None:
        self._applier = applier
        self._profiles: dict[tuple[str, str], Profile] = {
            (each.institution_id, each.code): each for each in profiles.profiles
        }
        self._topic = topic

    async def run(self, stop: asyncio.Event) -> None:
        """Calls `run_once` until nothing is left to do; then waits for `stop`. Raises what the
        database raises; the caller may call `run` again after an error.
        """
        while not stop.is_set() and not await self.run_once():
            await wait_any((stop,), CHECK_MS)
        await stop.wait()

    async def run_once(self) -> bool:
        """Ends the recovery if all input partitions were read far enough, and prints the XML of
        adopted batches again if it is missing.

        Returns whether nothing is left to do.
        """
        async with self._applier.writer.pool.acquire() as connection:
            unfinished = await connection.fetchrow(SQL["unfinished"])
            is_read = all(mark.is_reached for mark in await marks(connection))
            missing = await connection.fetchval(SQL["has_missing"])
            batches = await printable(connection) if missing else []
        for key in batches:
            await self._print(key)
        if unfinished is None or unfinished["state"] != READING or not is_read:
            return unfinished is None and not missing
        await take_lines_of_known_fines(self._applier)
        await let_credits_wait(self._applier)
        while await self._applier.run_in_transaction(self._announce):
            self._applier.committed()
        epoch = unfinished["epoch"]
        await self._applier.run_in_transaction(lambda connection: _end(connection, epoch))
        log.info(Event.RECOVERY_ENDED, epoch=epoch)
        return not missing

    async def _print(self, key: BatchKey) -> None:
        """Makes the bytes of a batch again, if its profile is configured."""
        profile = self._profiles.get(key[:2])
        if profile is None:
            return
        store, source = self._applier.store, self._applier.outputs.ce_source
        is_same = await self._applier.run_in_transaction(
            lambda connection: print_again(connection, store, profile, key, self._topic, source)
        )
        self._applier.committed()
        if is_same is False:
            log.error(Event.BATCH_DIFFERS, profile=key.profile, batch_number=key.batch_number)

    async def _announce(self, connection: Connection) -> int:
        """Publishes the last events of a page of accounts again; returns how many accounts there
        were.
        """
        waiting = await connection.fetch(SQL["accounts_to_announce"], ACCOUNTS_PAGE)
        accounts = sorted({AccountKey(*row.values()) for row in waiting})
        if not accounts:
            return 0
        columns = key_columns(accounts, KEY_WIDTH)
        await connection.fetch(LEDGER["lock_accounts"], *columns)
        rows = await connection.fetch(SQL["last_transactions_to_announce"], *columns)
        recorded_at = await connection.fetchval(LEDGER["clock"])
        fines = await self._applier.store.fines_by_key(connection, _fines_of(rows))
        announced: list[Transaction] = []
        for key, group in groupby(rows, key=lambda row: AccountKey(*list(row.values())[:3])):
            *earlier, last = group
            for row in earlier:
                await connection.execute(SQL["finish_account"], *key, row["recovery_epoch"])
            announcement = announcement_of(key, last, fines)
            if announcement is None:
                await connection.execute(SQL["finish_account"], *key, last["recovery_epoch"])
            else:
                await _store(connection, last["recovery_epoch"], announcement, recorded_at)
                announced.append(announcement)
        outputs = self._applier.outputs
        messages = [
            encode_balance_changed(each, recorded_at, outputs.ce_source) for each in announced
        ]
        await outbox.put(connection, outputs.balance_changed, messages, recorded_at)
        return len(accounts)


def announcement_of(
    key: AccountKey, row: asyncpg.Record, fines: dict[FineKey, Fine]
) -> Transaction | None:
    """Returns the last transaction of an account to be published once more, under the next sequence
    number of the recovery's epoch.

    Returns None if the account has had a newer event since the recovery, which its readers have, or
    if it has no transaction at all because only the lost database had one.
    """
    if row["sequence"] != row["raised_to"] or row["fine_id"] is None:
        return None
    before = Account(
        key,
        row["active"] - row["active_change"],
        row["transferred"] - row["transferred_change"],
        row["sequence"],
        row["epoch"],
    )
    after = replace(
        before,
        active=row["active"],
        transferred=row["transferred"],
        sequence=row["sequence"] + 1,
    )
    return Transaction(
        before,
        after,
        fines[FineKey(key.institution_id, row["fine_id"])],
        Kind(row["kind"]),
        row["label"],
        row["amount"],
        row["comment"],
        cause_of(row["cause"]),
        row["occurred_at"],
    )


def cause_of(text: str | None) -> Cause:
    """Reads the cause of a transaction from its JSON in the ledger, which has a `payment_id` for a
    payment, a `change_id` for a change in the library, and neither for an export.
    """
    if text is None:
        return None
    members = orjson.loads(text)
    if "payment_id" in members:
        return PaymentRef(**members)
    if "change_id" in members:
        return LibraryRef(**members)
    return ExportRef(**members)


def _fines_of(rows: Sequence[asyncpg.Record]) -> set[FineKey]:
    return {FineKey(row["institution_id"], row["fine_id"]) for row in rows if row["fine_id"]}


async def _store(
    connection: Connection, epoch: int, announcement: Transaction, recorded_at: datetime
) -> None:
    """Keeps what is announced: no transaction of the ledger has its number."""
    key, sequence = announcement.after.key, announcement.after.sequence
    identity = announcement.transaction_id
    await connection.execute(SQL["announce"], *key, epoch, sequence, identity, recorded_at)
    await connection.execute(SQL["number_account"], *key, sequence)


async def _end(connection: Connection, epoch: int) -> None:
    await connection.execute(SQL["end"], epoch)
