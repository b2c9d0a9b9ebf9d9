"""Copies into the restored database what the lost one had published: its batches, the numbers that
it had given out, and the last event number of each account.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import TypeVar

from ..database.session import Connection, statements
from ..database.tables import columns_of
from ..messages.manifests import read_manifest
from ..runtime.process import crash_point
from .adoption import HighestNumbers, adopt, raise_counters
from .adoption_plan import PlannedBatch
from .known import Record
from .published import (
    AccountEvent,
    Unread,
    account_event,
    lost_decision,
    lost_loan,
    record_at,
)
from .survey import LOANS, Plan, RecoveryNotPossible, Step, Survey

SQL = statements("recovery")
BALANCES, DECISIONS = "balance-changed.v1", "operator-action.v1"
ACCOUNTS_PAGE = 5_000

R = TypeVar("R")


async def take_over(survey: Survey, epoch: int, plan: Plan) -> int:
    """Adopts the planned batches, and takes over from the output topics closed loans, epochs,
    sequence numbers and operators' decisions.

    Returns the epoch of the recovery, which is higher than every published epoch. Every step of the
    takeover may be repeated after an interruption. Raises RecoveryNotPossible, IdsTaken, and the
    errors of the database and of the Kafka client.
    """
    batches = plan.batches
    for number, planned in enumerate(batches, start=1):
        await _adopt(survey, epoch, planned)
        crash_point("batch_adopted")
        survey.advance(Step("adopting batches", number, len(batches)))
    if batches:
        await survey.connection.execute(SQL["take_statistics"])  # closed loans look for their lines
    await _read_loans(survey, plan.unread[LOANS])
    highest = await _read_balances(survey, epoch, plan.unread[BALANCES])
    if batches:
        await survey.connection.execute(SQL["take_statistics"])  # they name their patrons now
    if highest >= epoch:
        await survey.connection.execute(SQL["raise_epoch"], epoch, highest + 1)
        epoch = highest + 1
    await _raise_accounts(survey, epoch)
    crash_point("accounts_raised")
    await _read_decisions(survey, epoch, plan.unread[DECISIONS])
    return epoch


async def _adopt(survey: Survey, epoch: int, planned: PlannedBatch) -> None:
    """Reads the records of a batch again and adopts it in one commit."""
    connection = survey.connection
    listing = await record_at(connection, survey.topics, planned.batch.place)
    manifest = read_manifest(listing.value)
    document = None
    if planned.document is not None:
        document = await record_at(connection, survey.topics, planned.document)
        if sha256(document.value or b"").hexdigest() != manifest.sha256:
            raise RecoveryNotPossible(f"topic {document.topic} changes while it is read")
    numbers = HighestNumbers()
    numbers.note(manifest)
    async with connection.transaction():
        await adopt(connection, epoch, manifest, listing, document)
        await raise_counters(connection, numbers)


async def _read_loans(survey: Survey, unread: Unread) -> None:
    """Keeps the loans that the adopted batches have closed, as they were published. Otherwise a
    loan with two lost fines could be closed by the other one now.
    """
    async for records in survey.records(LOANS, unread.ranges):
        loans = [_readable(record, lost_loan) for record in records]
        if loans:
            await survey.connection.execute(SQL["put_loans"], *columns_of(loans))


async def _read_balances(survey: Survey, epoch: int, unread: Unread) -> int:
    """Keeps the highest event of each account; returns the highest epoch there is."""
    highest = 0
    async for records in survey.records(BALANCES, unread.ranges):
        events = [_readable(record, account_event) for record in records]
        highest = max([highest, *(event.epoch for event in events)])
        await _keep_events(survey.connection, epoch, events)
    return highest


async def _keep_events(connection: Connection, epoch: int, events: Sequence[AccountEvent]) -> None:
    newest: dict[tuple[str, ...], AccountEvent] = {}
    for event in sorted(events, key=lambda each: (each.epoch, each.sequence)):
        newest[event.institution_id, event.patron_id, event.currency] = event
    kept = [event[:-1] for _, event in sorted(newest.items())]
    exported = [
        (event.institution_id, event.bursar_transaction_id, event.patron_id)
        for event in events
        if event.bursar_transaction_id
    ]
    async with connection.transaction():
        if kept:
            await connection.execute(SQL["put_accounts"], epoch, *columns_of(kept))
        if exported:
            await connection.execute(SQL["put_patrons"], *columns_of(exported))


async def _raise_accounts(survey: Survey, epoch: int) -> None:
    """Gives all accounts the epoch, and numbers above all published ones; page by page."""
    connection = survey.connection
    await connection.execute(SQL["insert_accounts"], epoch)
    total = int(await connection.fetchval(SQL["count_accounts"]))
    done, after = 0, ["", "", ""]
    while page := await connection.fetch(SQL["raise_accounts"], epoch, *after, ACCOUNTS_PAGE):
        after = list(page[-1].values())
        done += len(page)
        survey.advance(Step("numbering accounts", done, max(done, total)))


async def _read_decisions(survey: Survey, epoch: int, unread: Unread) -> None:
    async for records in survey.records(DECISIONS, unread.ranges):
        decisions = [_readable(record, lost_decision) for record in records]
        if decisions:
            await survey.connection.execute(SQL["put_decisions"], epoch, *columns_of(decisions))


def _readable(record: Record, read: Callable[[Record], R]) -> R:
    """What a record of this service says. Raises RecoveryNotPossible if it cannot be read."""
    try:
        return read(record)
    except (KeyError, TypeError, ValueError) as problem:
        place = f"topic {record.topic}, partition {record.partition}, offset {record.offset}"
        text = f"{place}: is not a record of this service, although its ce_type says so"
        raise RecoveryNotPossible(text) from problem
