"""The write path on a real database: the same records, cut differently, say the same."""

from collections import Counter
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from tests.conftest import with_database
from tests.support.exports import patron
from tests.support.inputs import ABSENT
from tests.support.lump_sums import paying_oldest_first
from tests.support.mixture import PROFILES, Exported, first_fines, mixture
from tests.support.write_path import (
    Record,
    Row,
    Tables,
    WritePath,
    balance_streams,
    fine,
    payment,
    response,
    reversal,
    tables_of,
    write_path,
)

FIRST_FINES = 200


MIXED_RECORDS = 1_000


SEED = 8


async def start_with_exports(database_url: str) -> Exported:
    """Fines that the bursar collects, and what their lines are called."""
    async with write_path(database_url) as path:
        await path.take(*first_fines(FIRST_FINES))
        await path.export(PROFILES)
        lines = await path.rows("SELECT bursar_transaction_id AS id FROM export_line ORDER BY 1")
        batches = await path.rows("SELECT profile, batch_number FROM export_batch ORDER BY 1, 2")
        return Exported(
            [str(line["id"]) for line in lines],
            [(str(batch["profile"]), int(str(batch["batch_number"]))) for batch in batches],
        )


async def copy_of(database_url: str) -> str:
    name = f"bursar_copy_{uuid4().hex[:12]}"
    here = urlsplit(database_url).path.removeprefix("/")
    connection = await asyncpg.connect(with_database(database_url, "postgres"))
    try:
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{here}"')
    finally:
        await connection.close()
    return with_database(database_url, name)


async def drop(database_url: str) -> None:
    name = urlsplit(database_url).path.removeprefix("/")
    connection = await asyncpg.connect(with_database(database_url, "postgres"))
    try:
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await connection.close()


DecisionResult = dict[str, list[Row]]


async def history(
    database_url: str, records: list[Record], size: int
) -> tuple[Tables, DecisionResult]:
    """What stands in the tables and what was told, after the records in polls of `size`."""
    url = await copy_of(database_url)
    try:
        async with write_path(url) as path:
            paying_oldest_first(path)
            await path.take_in_polls(records, size)
            tables = await tables_of(path.pool)
            return tables, await balance_streams(path.pool)
    finally:
        await drop(url)


async def test_polls_cut_differently_leave_the_same_tables_and_tell_the_same(
    database_url: str,
) -> None:
    exported = await start_with_exports(database_url)
    records = mixture(SEED, MIXED_RECORDS, FIRST_FINES, exported)
    tables, result = await history(database_url, records, 5_000)
    for size in (500, 7, 1):
        again, result_again = await history(database_url, records, size)
        for name, rows in tables.items():
            assert again[name] == rows, f"{name}, in polls of {size}"
        assert result_again == result, f"in polls of {size}"
    _has_met_every_outcome(tables)


def _has_met_every_outcome(tables: Tables) -> None:
    """A mixture in which nothing happens would prove nothing."""
    kinds = Counter(str(row["kind"]) for row in tables["ledger_transaction"])
    assert len(kinds) >= 13, kinds
    reasons = Counter(str(row["reason"]) for row in tables["rejected"])
    assert len(reasons) >= 15, reasons
    assert len({(str(row["wait"]), row["fine_id"] is None) for row in tables["parked"]}) >= 5
    assert tables["parked_error"] == []


async def test_a_conflict_that_names_another_patrons_fine_is_rejected(path: WritePath) -> None:
    await path.take(fine(fine_id="F-1"), fine(fine_id="F-2", patron=patron("P-2")))
    await path.take(payment(payment_id="A", fine_id="F-1"), reversal("B", "A"))
    report = await path.take(payment(payment_id="A", fine_id="F-2"))
    assert report.outcomes == {"rejected:payment_conflict": 1}
    report = await path.take(reversal("B", "C"))
    assert report.outcomes == {"rejected:payment_conflict": 1}


async def test_what_waits_behind_a_waiting_reversal_waits_in_its_lane(path: WritePath) -> None:
    """In a poll of its own as well: the lane is its original's, and that is in the database."""
    for item in (reversal("B", "A"), payment(payment_id="A", fine_id="F-1"), reversal("C", "B")):
        await path.take(item)
    queues = await path.rows("SELECT id, fine_id FROM parked ORDER BY id")
    assert queues == [{"id": name, "fine_id": "F-1"} for name in ("A", "B", "C")]


async def test_a_reversal_by_fine_finds_whose_line_its_rejected_original_named(
    path: WritePath,
) -> None:
    """The line came after the original, and the reversal does not name it."""
    line = "10000000018"
    await path.take(fine(), payment(payment_id="A", fine_id=ABSENT, bursar_transaction_id=line))
    await path.export(PROFILES)
    assert await path.rows("SELECT bursar_transaction_id AS id, fine_id FROM export_line") == [
        {"id": line, "fine_id": "F-1"}
    ]
    by_fine = payment(payment_id="B", kind="reversal", reverses_payment_id="A", fine_id="F-1")
    report = await path.take(by_fine)
    assert report.outcomes == {"rejected:original_rejected": 1}


async def test_a_refused_batch_posts_its_lines_in_the_order_of_their_ids(
    database_url: str,
) -> None:
    """Also when a payment of the same poll had one of them read before the others."""
    await start_with_exports(database_url)
    async with write_path(database_url) as path:
        lines = await path.rows(
            "SELECT bursar_transaction_id AS id, fine_id, patron_id FROM export_line"
            " JOIN fine USING (institution_id, fine_id)"
            " WHERE profile = 'both' AND batch_number = 1 ORDER BY 1"
        )
        late = lines[-1]["id"]
        unfit = payment(fine_id=ABSENT, bursar_transaction_id=late, currency="EUR", amount="1")
        refusal = response(profile="both", outcome="refused", reason="unreadable")
        await path.take(unfit, refusal)
        posted = await path.rows(
            "SELECT patron_id, fine_id FROM ledger_transaction"
            " WHERE kind = 'export_rejected' ORDER BY patron_id, sequence"
        )
        of_patron: dict[object, list[object]] = {}
        for line in lines:
            of_patron.setdefault(line["patron_id"], []).append(line["fine_id"])
        assert max(map(len, of_patron.values())) > 1
        assert posted == [
            {"patron_id": item, "fine_id": fine_id}
            for item, fine_ids in sorted(of_patron.items(), key=str)
            for fine_id in fine_ids
        ]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_transaction SET amount = amount",
        "DELETE FROM ledger_transaction",
        "TRUNCATE ledger_transaction",
        "DELETE FROM operator_action",
    ],
)
async def test_the_ledger_is_append_only(path: WritePath, statement: str) -> None:
    await path.take(fine())
    with pytest.raises(asyncpg.RestrictViolationError):
        await path.pool.execute(statement)
    assert await path.value("SELECT count(*) FROM ledger_transaction") == 1


async def test_the_balance_is_the_sum_of_transactions_and_of_fines(database_url: str) -> None:
    """Law 1 on the mixture, in the tables."""
    exported = await start_with_exports(database_url)
    async with write_path(database_url) as path:
        await path.take_in_polls(mixture(SEED, MIXED_RECORDS, FIRST_FINES, exported), 100)
        await path.sweep()
        accounts = await path.rows(
            "SELECT patron_id, currency, active, transferred, sequence FROM account ORDER BY 1, 2"
        )
        of_lines = await path.rows(
            "SELECT patron_id, currency, sum(active_change)::bigint AS active,"
            " sum(transferred_change)::bigint AS transferred, max(sequence) AS sequence"
            " FROM ledger_transaction GROUP BY 1, 2 HAVING count(*) = max(sequence) ORDER BY 1, 2"
        )
        of_fines = await path.rows(
            "SELECT patron_id, currency, sum(remaining)::bigint AS active,"
            " sum(outstanding)::bigint AS transferred FROM fine GROUP BY 1, 2 ORDER BY 1, 2"
        )
    assert accounts == of_lines
    assert [{k: v for k, v in row.items() if k != "sequence"} for row in accounts] == of_fines
