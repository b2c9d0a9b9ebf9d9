"""The yardstick: the handler one writes first, one event per commit; its own process. Frozen.

It reads the same records by the same `parse`, decides by the same rules, leaves the same rows and
sends the same events as the service, in the order commit, send, offset. It knows fines and payments
that can be applied at once: anything else ends it, for then nothing would be compared.
"""

import asyncio
import signal
from collections.abc import Sequence
from datetime import datetime

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord

from service.core import rules
from service.core.batches import ExportLine
from service.core.events import BursarPayment, FineCreated
from service.core.ledger import Account, AccountKey, BatchKey, LineKey, Origin
from service.core.words import LineState
from service.core.workspace import Changes, View
from service.database import tables
from service.database.ledger_read import LedgerReader
from service.database.session import Connection
from service.messages.decode import parse
from service.messages.encode import encode_balance_changed
from service.runtime.process import collect_garbage_seldom
from service.settings import Settings, read_settings

INPUTS = ("fine-created.v1", "bursar-payment.v1")


class NotComparable(Exception):
    """An event that this handler does not know how to take."""


def _insert(table: str, columns: Sequence[str]) -> str:
    places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"


def _update_fine() -> str:
    changing = ("amount", *tables.FINE.columns[14:])
    state = [f"{name} = ${place}" for place, name in enumerate(changing, start=3)]
    return f"UPDATE fine SET {', '.join(state)} WHERE institution_id = $1 AND fine_id = $2"


# Made if it is missing, locked in any case.
LOCK_ACCOUNT = """
INSERT INTO account (institution_id, patron_id, currency) VALUES ($1, $2, $3)
ON CONFLICT (institution_id, patron_id, currency) DO UPDATE SET active = account.active
RETURNING *, clock_timestamp() AS recorded_at"""
LOCK_ACCOUNT_OF_LINE = """
SELECT account.*, clock_timestamp() AS recorded_at
FROM export_line AS line
JOIN fine USING (institution_id, fine_id)
JOIN account ON account.institution_id = fine.institution_id
    AND account.patron_id = fine.patron_id AND account.currency = fine.currency
WHERE line.institution_id = $1 AND line.bursar_transaction_id = $2
FOR UPDATE OF account"""
# No fine of a comparison is ever adjusted.
NOT_AMENDED = """NULL::bigint AS amount_created, NULL::timestamptz AS adjusted_at,
    NULL::timestamptz AS disputed_at, false AS unconfirmed"""
FINE = f"SELECT *, {NOT_AMENDED} FROM fine WHERE institution_id = $1 AND fine_id = $2"
FINE_OF_LINE = f"""
SELECT fine.*, {NOT_AMENDED}, line.profile, line.batch_number, line.amount AS line_amount,
    line.currency AS line_currency, line.state AS line_state, line.reason AS line_reason
FROM export_line AS line JOIN fine USING (institution_id, fine_id)
WHERE line.institution_id = $1 AND line.bursar_transaction_id = $2"""
PAYMENT = "SELECT * FROM payment WHERE institution_id = $1 AND source = $2 AND payment_id = $3"
PUT_PATRON = """
INSERT INTO patron AS known (institution_id, patron_id, name, user_group, identifiers, seen_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (institution_id, patron_id) DO UPDATE
SET name = excluded.name, user_group = excluded.user_group, identifiers = excluded.identifiers,
    seen_at = excluded.seen_at
WHERE known.seen_at < excluded.seen_at"""
PUT_ACCOUNT = """
UPDATE account SET active = $4, transferred = $5, sequence = $6
WHERE institution_id = $1 AND patron_id = $2 AND currency = $3"""
INSERT_FINE = _insert("fine", tables.FINE.columns)
INSERT_PAYMENT = _insert("payment", tables.PAYMENT.columns)
INSERT_TRANSACTION = _insert("ledger_transaction", tables.TRANSACTION.columns)
UPDATE_FINE = _update_fine()


class PerEvent:
    """One connection, one producer: an event goes all the way before the next one is looked at."""

    def __init__(
        self,
        connection: Connection,
        producer: AIOKafkaProducer,
        settings: Settings,
    ) -> None:
        self._connection = connection
        self._producer = producer
        self._prefix = settings.topic_prefix
        self._ce_source = settings.ce_source
        self._store = LedgerReader(parse)

    async def take(self, record: ConsumerRecord[bytes | None, bytes | None]) -> None:
        """Applies one record in a commit of its own, then sends what it changed."""
        origin = Origin(
            record.topic,
            record.partition,
            record.offset,
            record.key,
            record.value,
            tuple((name, value or b"") for name, value in record.headers),
        )
        event = parse(record.topic.removeprefix(self._prefix), origin)
        async with self._connection.transaction():
            match event:
                case FineCreated():
                    view, recorded_at = await self._view_of_fine(event)
                case BursarPayment():
                    view, recorded_at = await self._view_of_payment(event)
                case _:
                    raise NotComparable(type(event).__name__)
            changes = rules.fold(view, (event,))
            await self._write(changes, recorded_at)
        for transaction in changes.transactions:
            message = encode_balance_changed(transaction, recorded_at, self._ce_source)
            await self._producer.send_and_wait(
                f"{self._prefix}balance-changed.v1",
                message.value,
                message.key,
                headers=list(message.headers),
            )

    async def _view_of_fine(self, event: FineCreated) -> tuple[View, datetime]:
        locked = await self._connection.fetchrow(LOCK_ACCOUNT, *event.facts.account)
        assert locked is not None
        result = await self._connection.fetch(FINE, *event.key)
        known = await self._store.fines_of(self._connection, result)
        fines = {fine.facts.key: fine for fine in known}
        return View(accounts=_account(locked), fines=fines), locked["recorded_at"]

    async def _view_of_payment(self, event: BursarPayment) -> tuple[View, datetime]:
        assert event.line_key is not None
        locked = await self._connection.fetchrow(LOCK_ACCOUNT_OF_LINE, *event.line_key)
        result = await self._connection.fetch(FINE_OF_LINE, *event.line_key)
        known = await self._connection.fetchrow(PAYMENT, *event.key)
        if locked is None or not result:
            raise NotComparable("a payment for a line that is not known")
        (fine,) = await self._store.fines_of(self._connection, result)
        view = View(
            accounts=_account(locked),
            fines={fine.facts.key: fine},
            lines={event.line_key: _line(event.line_key, result[0])},
            payments={} if known is None else {event.key: tables.PAYMENT.value(known)},
        )
        return view, locked["recorded_at"]

    async def _write(self, changes: Changes, recorded_at: datetime) -> None:
        execute = self._connection.execute
        if changes.rejections or changes.parked.added or changes.payments.changed:
            raise NotComparable(", ".join(changes.outcomes))
        for fine in changes.fines.added:
            await execute(INSERT_FINE, *tables.FINE.row(fine))
        for payment in changes.payments.added:
            await execute(INSERT_PAYMENT, *tables.PAYMENT.row(payment))
        for fine in changes.fines.changed:
            await execute(UPDATE_FINE, *tables.FINE.changed_row(fine))
        for transaction in changes.transactions:
            await execute(INSERT_TRANSACTION, *tables.TRANSACTION.row(transaction), recorded_at)
        for account in changes.accounts.written:
            balances = account.active, account.transferred, account.sequence
            await execute(PUT_ACCOUNT, *account.key, *balances)
        for patron in changes.patrons.written:
            await execute(PUT_PATRON, *tables.PATRON.row(patron))


def _account(row: asyncpg.Record) -> dict[AccountKey, Account]:
    account = tables.ACCOUNT.value(row)
    return {account.key: account}


def _line(key: LineKey, row: asyncpg.Record) -> ExportLine:
    return ExportLine(
        key,
        row["fine_id"],
        BatchKey(key.institution_id, row["profile"], row["batch_number"]),
        row["line_amount"],
        row["line_currency"],
        LineState(row["line_state"]),
        row["line_reason"],
    )


async def run(settings: Settings) -> None:
    """Until it is cancelled."""
    servers = settings.kafka_bootstrap_servers
    consumer = AIOKafkaConsumer(
        *(settings.topic_prefix + name for name in INPUTS),
        bootstrap_servers=servers,
        group_id=settings.consumer_group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True)
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    async with consumer, producer:
        handler = PerEvent(connection, producer, settings)
        async for record in consumer:
            await handler.take(record)
            await consumer.commit()


async def main() -> None:
    work = asyncio.create_task(run(read_settings()))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    await asyncio.wait([work])
    if not work.cancelled():
        work.result()


if __name__ == "__main__":
    collect_garbage_seldom()  # as the service does
    asyncio.run(main())
