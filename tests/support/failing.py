"""A program that fails on one record, and what it leaves; for tests of what goes on."""

from collections.abc import Callable

from service.core.events import Incoming, Rejection
from service.core.ledger import Origin
from service.database.parked import Parse
from service.database.tables import TRANSACTION
from service.messages.decode import parse
from service.operations import parked
from service.operations.parked_records import ParkedFilter, ParkedRecord
from tests.support.inputs import ABSENT
from tests.support.write_path import Record, WritePath, payment


class Mistake(Exception):
    """What a bug of the program raises."""


def fails_for(name: str, works: Callable[..., object]) -> Callable[..., object]:
    """The same function, but for one that is given what names the record."""

    def failing(*arguments: object, **options: object) -> object:
        if any(name in repr(argument) for argument in arguments):
            raise Mistake
        return works(*arguments, **options)

    return failing


def rejected_by_the_database_for(
    name: str, row_of: Callable[..., tuple[object, ...]]
) -> Callable[..., object]:
    """Rows of the ledger, of which the database rejects those of the record."""

    def failing(transaction: object) -> tuple[object, ...]:
        row = dict(zip(TRANSACTION.columns, row_of(transaction), strict=False))
        return tuple((row | {"sequence": 0} if name in repr(transaction) else row).values())

    return failing


def cannot_read(name: str) -> Parse:
    """The reading of a release that does not know any more what an older one has parked."""

    def failing(contract: str, origin: Origin) -> Incoming | Rejection:
        if name.encode() in (origin.value or b""):
            raise Mistake
        return parse(contract, origin)

    return failing


def pays(payment_id: str, fine_id: str, **more: object) -> Record:
    line = ABSENT
    return payment(payment_id=payment_id, fine_id=fine_id, bursar_transaction_id=line, **more)


async def fines_of(path: WritePath) -> set[object]:
    return {row["fine_id"] for row in await path.rows("SELECT fine_id FROM fine")}


async def parked_now(path: WritePath) -> list[ParkedRecord]:
    async with path.pool.acquire() as connection:
        return await parked.find(connection, ParkedFilter())
