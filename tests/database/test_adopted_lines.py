"""Fines take lines that were published before a restore, in the database (rules.md, 5b)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service.core.events import FineCreated
from service.database.references import references_of
from service.export.manifest import Manifest
from service.export.schedule import ExportsAreOff
from service.export.selection import Exclusion
from service.operations import held
from service.operations.adopted_lines import (
    LineFilter,
    take_lines_of_known_fines,
    waiting_lines,
)
from service.operations.reconcile import reconcile
from tests.support.adopting import adopt, end_recovery
from tests.support.exports import only, patron, profiles_with, waiters
from tests.support.inputs import ABSENT
from tests.support.write_path import (
    Record,
    Tables,
    WritePath,
    balance_streams,
    change,
    fine,
    payment,
    response,
    reversal,
    tables_of,
    write_path,
)

PROFILES = profiles_with(
    fine_types=["OVERDUEFINE", "LOSTITEMREPLACEMENTFEE"],
    credits={"included": True},
    close_paid_lost_loan=True,
)
BACKED_UP = (fine(fine_id="F-0", patron=patron(0)), fine(fine_id="F-9", patron=patron(9)))
# After the backup, and before the export.
LATER = (
    fine(fine_id="F-1", patron=patron(1), loan_id="L-1"),
    fine(fine_id="F-2", patron=patron(1), loan_id="L-2", type="LOSTITEMREPLACEMENTFEE"),
    fine(
        fine_id="C-2",
        patron=patron(1),
        type="CREDIT",
        amount="-5.00",
        credit_of="F-2",
        loan_id="L-2",
    ),
    change(fine_id="F-1"),
    change(fine_id="F-9", change_id="C-9", kind="disputed", amount=ABSENT, currency=ABSENT),
)
# What the bursar says about the batch.
ANSWERED = (
    payment(fine_id="F-0", payment_id="PAY-0"),
    payment(fine_id="F-1", payment_id="PAY-1", amount="80.00"),
    reversal("REV-1", "PAY-0"),
)


async def lose(lost: WritePath, restored: WritePath) -> None:
    """What happened before the backup, which both have, and after it, which is lost."""
    for path in (lost, restored):
        await path.take(*BACKED_UP)
    await lost.take(*LATER)
    await lost.exports(PROFILES).run_profile(only(PROFILES))
    await lost.take(*ANSWERED)
    await lost.take(await refusal(lost, "F-0"))


async def refusal(lost: WritePath, fine_id: str) -> Record:
    """The bursar refuses the line of a fine."""
    line = await lost.value(
        "SELECT bursar_transaction_id FROM export_line WHERE fine_id = $1", fine_id
    )
    refused = [{"bursar_transaction_id": line, "reason": "no such student"}]
    return response(outcome="partial", refused_lines=refused)


LEDGER = """
SELECT fine_id, status, considered, remaining, outstanding, line, terms_id, payments_live,
       refused_reason, changed_at
  FROM fine ORDER BY fine_id
"""


async def owed(path: WritePath) -> dict[str, object]:
    """What two ledgers of one history have in common, however it was read."""
    return {
        "fines": await path.rows(LEDGER),
        "accounts": await path.rows(
            "SELECT patron_id, active, transferred FROM account ORDER BY 1"
        ),
        "lines": await path.rows(
            "SELECT bursar_transaction_id, fine_id, state, reason FROM export_line ORDER BY 1"
        ),
        "payments": await path.rows("SELECT payment_id, state, applied FROM payment ORDER BY 1"),
        "batches": await path.rows("SELECT profile, batch_number, state FROM export_batch"),
        "loans": await path.rows("SELECT * FROM loan_closed"),
    }


async def test_what_is_read_again_gives_the_lost_ledger(
    path: WritePath, restored: WritePath
) -> None:
    await lose(path, restored)
    assert await adopt(path, restored) == 4
    records = (*LATER, *ANSWERED, await refusal(path, "F-0"))
    await restored.take(*records)
    assert await take_lines_of_known_fines(restored.applier) == 0
    assert await owed(restored) == await owed(path)
    assert (await reconcile(restored.pool)).agrees
    assert await restored.value("SELECT count(*) FROM adopted_line WHERE state <> 'taken'") == 0


# What holds up one commit when it has read, and before it has written what it read.
HELD_UP = {
    "answer": "SELECT FROM export_batch FOR UPDATE",
    "fine": "LOCK TABLE fine IN SHARE MODE",
}


@pytest.mark.parametrize("first", HELD_UP)
async def test_a_fine_and_the_answer_about_its_line_at_the_same_instant_lose_nothing(
    path: WritePath, restored: WritePath, restored_url: str, first: str
) -> None:
    await path.take(LATER[0])
    await path.exports(PROFILES).run_profile(only(PROFILES))
    await adopt(path, restored)
    records = {"fine": LATER[0], "answer": await refusal(path, "F-1")}
    (second,) = records.keys() - {first}
    async with write_path(restored_url, partition=1) as other:
        async with restored.pool.acquire() as rival, rival.transaction():
            await rival.execute(HELD_UP[first])
            ahead = asyncio.create_task(restored.take(records[first]))
            await waiters(other, 1)
            behind = asyncio.create_task(other.take(records[second]))
            await waiters(other, 2)
        await asyncio.gather(ahead, behind)
    assert await restored.rows(
        "SELECT fine.status, fine.remaining, line.state, line.reason FROM fine"
        " JOIN export_line AS line USING (institution_id, fine_id) WHERE fine_id = 'F-1'"
    ) == [{"status": "Active", "remaining": 9550, "state": "refused", "reason": "no such student"}]


@pytest.mark.parametrize("size", [1, 3])
async def test_polls_cut_differently_give_the_same_tables(
    path: WritePath, restored: WritePath, new_database: Callable[[], Awaitable[str]], size: int
) -> None:
    await lose(path, restored)
    records = (*LATER, *ANSWERED, await refusal(path, "F-0"))
    await adopt(path, restored)
    await restored.take(*records)
    async with write_path(await new_database()) as other:
        await other.take(*BACKED_UP)
        await adopt(path, other)
        await other.take_in_polls(records, size)
        await same(other, restored)


async def same(other: WritePath, restored: WritePath) -> None:
    assert without_times(await tables_of(other.pool)) == without_times(
        await tables_of(restored.pool)
    )
    assert await balance_streams(other.pool) == await balance_streams(restored.pool)


def without_times(tables: Tables) -> Tables:
    """Without the tables that say when and how something was read."""
    others = ("recovery", "adopted_batch", "consumer_offset")
    return {name: rows for name, rows in tables.items() if name not in others}


async def test_a_fine_that_nothing_is_read_about_takes_its_line(
    path: WritePath, restored: WritePath
) -> None:
    await lose(path, restored)
    await adopt(path, restored)
    assert await take_lines_of_known_fines(restored.applier) == 1
    assert await take_lines_of_known_fines(restored.applier) == 0
    status = await restored.value("SELECT status FROM fine WHERE fine_id = 'F-0'")
    assert status == "Transferred"


async def test_a_line_whose_amount_remains_names_what_it_waits_for(
    path: WritePath, restored: WritePath
) -> None:
    """An older line of its fine, and the line of the fine that a credit is of."""
    await lose(path, restored)
    await adopt(path, restored)
    await restored.take(LATER[2])
    await restored.pool.execute(
        "UPDATE adopted_line SET fine_id = 'F-0', amount = 9550, export_number = export_number + 1"
        " WHERE fine_id = 'F-1'"
    )
    async with restored.pool.acquire() as connection:
        lines = await waiting_lines(connection, LineFilter())
    assert [(line.fine.fine_id, line.in_words) for line in lines] == [
        ("F-0", "its fine takes it when the service reads again (`bursar-bridge run`)"),
        ("C-2", "a line of the fine that it credits waits, too"),
        ("F-2", "its fine is not known: its fine-created was not read again so far"),
        ("F-0", "an older line waits for its fine"),
    ]


async def test_nothing_is_exported_before_the_recovery_has_ended(
    path: WritePath, restored: WritePath
) -> None:
    await lose(path, restored)
    await adopt(path, restored)
    with pytest.raises(ExportsAreOff, match="exports are off"):
        await restored.exports(PROFILES).run_profile(only(PROFILES))
    assert await restored.exports(PROFILES).run_once() == 0
    assert await restored.value("SELECT count(*) FROM export_run") == 0


async def test_a_fine_whose_line_waits_is_never_exported_again_by_itself(
    path: WritePath, restored: WritePath
) -> None:
    """The dispute is lost, and so is that the fine was paid in part."""
    await lose(path, restored)
    await adopt(path, restored)
    await restored.take(LATER[0], fine(fine_id="F-8", patron=patron(8)))
    await end_recovery(restored)
    manifests: list[Manifest] = []
    await restored.exports(PROFILES).run_profile(only(PROFILES), manifests.append)
    exported = {line.fine_id for manifest in manifests for line in manifest.lines}
    assert exported == {"F-8", "F-9"}
    assert [pair for manifest in manifests for pair in manifest.held_back] == []
    async with restored.pool.acquire() as connection:
        listed = await held.find(connection, restored.applier.store, PROFILES)
        assert [(each.fine.facts.fine_id, each.reason) for each in listed] == [
            ("F-0", Exclusion.ADOPTED_LINE),
            ("F-1", Exclusion.ADOPTED_LINE),
        ]
        lines = await waiting_lines(connection, LineFilter(fine_id="F-1"))
    assert [line.in_words for line in lines] == [
        "95.50 remains of its fine, and the line has another amount"
    ]


async def test_a_credit_that_names_a_fine_of_another_patron_is_decided_all_the_same(
    path: WritePath, restored: WritePath
) -> None:
    foreign = fine(fine_id="C-0", patron=patron(5), type="CREDIT", amount="-1.00", credit_of="F-0")
    await lose(path, restored)
    await restored.take(foreign)
    await adopt(path, restored)
    await restored.take(change(fine_id="C-0", change_id="C-0", kind="waived", amount="0.50"))
    await restored.take(change(fine_id="F-0", change_id="C-1"))
    rejected = await restored.rows("SELECT reason FROM rejected")
    assert [row["reason"] for row in rejected] == ["already_exported"]


async def test_without_a_line_that_waits_a_poll_asks_nothing_more(path: WritePath) -> None:
    statements: list[str] = []
    async with path.pool.acquire() as connection:
        connection.add_query_logger(lambda record: statements.append(record.query))
        references = references_of([await incoming(path, LATER[0])])
        locked = await path.applier.store.lock(connection, references)
        await path.applier.store.view(connection, references, locked)
    asked = [each for each in statements if "adopted_line" in each or "batch_line" in each]
    assert not locked.lines_wait
    assert len(asked) == 2, asked  # beside the accounts of what is named, and beside the clock


async def incoming(path: WritePath, record: Record) -> FineCreated:
    (event,) = (await path.poll([record])).events
    assert isinstance(event, FineCreated)
    return event
