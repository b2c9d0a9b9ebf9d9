"""The write path on a real database: the same records, cut differently, say the same."""

import asyncio
from collections import Counter
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from service.database.offsets import Assignment
from service.runtime.failures import Fenced
from tests.conftest import with_database
from tests.support.inputs import ABSENT
from tests.support.mixture import PROFILES, Exported, first_fines, mixture
from tests.support.write_path import (
    Record,
    Row,
    Tables,
    WritePath,
    balance_streams,
    change,
    fine,
    outbox_of,
    payment,
    profiles_of,
    record,
    response,
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
        profiles = profiles_of(PROFILES)
        for profile in profiles.profiles:
            await path.exports(profiles).run_profile(profile)
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
    tables, told = await history(database_url, records, 5_000)
    for size in (500, 7, 1):
        again, told_again = await history(database_url, records, size)
        for name, rows in tables.items():
            assert again[name] == rows, f"{name}, in polls of {size}"
        assert told_again == told, f"in polls of {size}"
    _has_met_every_outcome(tables)


def _has_met_every_outcome(tables: Tables) -> None:
    """A mixture in which nothing happens would prove nothing."""
    kinds = Counter(str(row["kind"]) for row in tables["ledger_transaction"])
    assert len(kinds) >= 13, kinds
    reasons = Counter(str(row["reason"]) for row in tables["rejected"])
    assert len(reasons) >= 15, reasons
    assert len({str(row["wait"]) for row in tables["parked"]}) == 4
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
    for one in (reversal("B", "A"), payment(payment_id="A", fine_id="F-1"), reversal("C", "B")):
        await path.take(one)
    lanes = await path.rows("SELECT id, fine_id FROM parked ORDER BY id")
    assert lanes == [{"id": name, "fine_id": "F-1"} for name in ("A", "B", "C")]


async def test_a_reversal_by_fine_finds_whose_line_its_rejected_original_named(
    path: WritePath,
) -> None:
    """The line came after the original, and the reversal does not name it."""
    line = "1000000000000001"
    await path.take(fine(), payment(payment_id="A", fine_id=ABSENT, bursar_transaction_id=line))
    profiles = profiles_of(PROFILES)
    for profile in profiles.profiles:
        await path.exports(profiles).run_profile(profile)
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
            {"patron_id": one, "fine_id": fine_id}
            for one, fine_ids in sorted(of_patron.items(), key=str)
            for fine_id in fine_ids
        ]


def patron(patron_id: str) -> Row:
    return {
        "patron_id": patron_id,
        "name": "Doe, Jane",
        "user_group": "STUDENT",
        "identifiers": [{"type": "02", "value": "A1"}],
    }


def reversal(payment_id: str, original: str) -> Record:
    return payment(
        payment_id=payment_id,
        kind="reversal",
        reverses_payment_id=original,
        fine_id=ABSENT,
        amount=ABSENT,
        currency=ABSENT,
    )


# Identities that stay known although their record was rejected (rules.md, 3).
BOUND = {"payment", "fine_change", "export_response"}

REJECTED = {
    "invalid_envelope": record("fine-created.v1", b"{}")._replace(headers=()),
    "invalid_json": record("fine-created.v1", b"{"),
    "invalid_schema": fine(fine_id="NEW", patron=ABSENT),
    "invalid_amount": fine(fine_id="NEW", amount=95.5),
    "invalid_currency": fine(fine_id="NEW", currency="XXX"),
    "invalid_text": fine(fine_id="NEW", comment="\u202e"),
    "invalid_size": record("fine-created.v1", b" " * (64 * 1024 + 1)),
    "fine_conflict": fine(fine_id="F-1", amount="1.00", patron=patron("P-NEW")),
    "change_conflict": change(change_id="known", fine_id="F-9", amount="1.00"),
    "payment_conflict": payment(payment_id="known", fine_id="F-9"),
    "reference_mismatch": payment(payment_id="n", fine_id="F-9", bursar_transaction_id="LINE"),
    "currency_mismatch": payment(payment_id="n", fine_id="F-1", currency="EUR"),
    "already_exported": change(change_id="n", fine_id="BOTH-1"),
    "already_closed": change(change_id="n", fine_id="CLOSED-1"),
    "exceeds_remaining": change(change_id="n", fine_id="F-1", amount="95.51"),
    "no_change": change(
        change_id="n", fine_id="F-1", kind="restored", amount=ABSENT, currency=ABSENT
    ),
    "import_not_active": payment(payment_id="n", fine_id="ONLY-1"),
    "exceeds_outstanding": payment(
        payment_id="n", fine_id="BOTH-1", kind="write_off", amount="95.51"
    ),
    "original_rejected": reversal("n", "rejected"),
    "not_reversible": reversal("n", "status"),
    "unknown_batch": response(response_id="n", profile="both", batch_number=9),
    "unknown_line": payment(payment_id="n", fine_id=ABSENT, bursar_transaction_id="1"),
    "not_live": payment(payment_id="n", fine_id="CLOSED-1"),
    "control_total_mismatch": response(
        response_id="n", profile="both", control={"count": 2, "total": "95.50"}
    ),
}


async def every_state(path: WritePath) -> None:
    """Fines exported by both modes, closed and open, with changes and payments on them."""
    await path.take(
        fine(fine_id="BOTH-1"),
        fine(fine_id="ONLY-1", type="LIBRARYSERVICE"),
        fine(fine_id="CLOSED-1", amount="10.00"),
        change(change_id="closes", fine_id="CLOSED-1"),
    )
    profiles = profiles_of(PROFILES)
    for profile in profiles.profiles:
        await path.exports(profiles).run_profile(profile)
    status = {"kind": "status", "status_code": "invoiced", "amount": ABSENT, "currency": ABSENT}
    await path.take(
        fine(fine_id="F-1"),
        change(change_id="known", fine_id="F-1", amount="0.50"),
        change(change_id="back", fine_id="F-1", kind="waived", amount="0.50"),
        payment(payment_id="known", fine_id="F-1"),
        payment(payment_id="rejected", fine_id="ONLY-1"),
        payment(payment_id="status", fine_id="BOTH-1", **status),
    )


@pytest.mark.parametrize("reason", REJECTED)
async def test_a_rejected_record_changes_nothing_but_the_rejected_table(
    path: WritePath, reason: str
) -> None:
    await every_state(path)
    one = REJECTED[reason]
    if one.value is not None and b'"LINE"' in one.value:
        line = await path.value("SELECT bursar_transaction_id FROM export_line ORDER BY 1 LIMIT 1")
        one = one._replace(value=one.value.replace(b"LINE", str(line).encode()))
    before = await tables_of(path.pool)
    told = len(await outbox_of(path.pool, "balance-changed.v1"))
    assert (await path.take(one)).outcomes == {f"rejected:{reason}": 1}
    after = await tables_of(path.pool)
    for name, rows in after.items():
        new = [row for row in rows if row not in before[name]]
        if name == "rejected":
            (row,) = (row for row in new if row["reason"] == reason)
            assert (row["record_value"], row["record_key"]) == (one.value, one.key)
        elif name in BOUND:
            assert all(row["state"] == "rejected" for row in new)
        elif name != "consumer_offset":
            assert new == [], name
        if name != "consumer_offset":
            assert len(rows) == len(before[name]) + len(new)
    assert len(await outbox_of(path.pool, "balance-changed.v1")) == told
    sent = (await outbox_of(path.pool, "rejected.v1"))[-1]
    assert (sent.key, sent.value) == (one.key, one.value)
    assert sent.header("bursar-reason") == reason


async def test_an_unknown_line_says_where_the_institution_has_no_profile(path: WritePath) -> None:
    await path.take(fine(fine_id="F-1"))
    profiles = profiles_of(PROFILES)
    await path.exports(profiles).run_profile(profiles.profiles[0])
    unknown = {"fine_id": ABSENT, "bursar_transaction_id": "1"}
    await path.take(
        payment(payment_id="here", **unknown),
        payment(payment_id="elsewhere", institution_id="77", **unknown),
        response(response_id="elsewhere", institution_id="77", batch_number=9),
    )
    details = await path.rows("SELECT institution_id, detail FROM rejected ORDER BY 1, 2")
    line, has_none = (
        "bursar_transaction_id: is not known here",
        "institution_id: has no profile here",
    )
    assert details == [
        {"institution_id": "6050", "detail": line},
        {
            "institution_id": "77",
            "detail": f"batch_number: is not known for this profile; {has_none}",
        },
        {"institution_id": "77", "detail": f"{line}; {has_none}"},
    ]
    published = await outbox_of(path.pool, "rejected.v1")
    assert sorted(sent.header("bursar-detail") for sent in published) == sorted(
        str(row["detail"]) for row in details
    )


async def test_the_same_poll_a_second_time_is_fenced_and_changes_nothing(path: WritePath) -> None:
    await path.take(fine(fine_id="F-0"))
    poll = await path.poll([fine(fine_id="F-1"), record("fine-created.v1", b"{")])
    await path.apply(poll)
    before = await tables_of(path.pool)
    with pytest.raises(Fenced):
        await path.applier.apply(poll)
    assert await tables_of(path.pool) == before


async def test_who_lost_a_partition_is_fenced_and_changes_nothing(
    path: WritePath, database_url: str
) -> None:
    await path.take(fine(fine_id="F-0"))
    poll = await path.poll([fine(fine_id="F-1")])
    async with write_path(database_url) as other:
        await other.poll([fine(fine_id="F-1")])  # takes the partition over
        before = await tables_of(path.pool)
        with pytest.raises(Fenced):
            await path.applier.apply(poll)
        assert await tables_of(path.pool) == before
        assert (await other.take(fine(fine_id="F-1"))).outcomes == {"applied": 1}


async def test_one_fenced_partition_rolls_back_the_whole_poll(path: WritePath) -> None:
    poll = await path.poll([fine(fine_id="F-1"), payment()])
    stale = Assignment("library.bursar-payment.v1", 0, 5, 1)
    assignments = (*(part for part in poll.assignments if "payment" not in part.topic), stale)
    with pytest.raises(Fenced):
        await path.applier.apply(type(poll)(poll.records, assignments))
    tables = await tables_of(path.pool)
    assert tables["fine"] == tables["parked"] == tables["account"] == []
    assert {row["next_offset"] for row in tables["consumer_offset"]} == {0}


@pytest.mark.parametrize("place", [0, 4, 8])
async def test_a_record_the_database_refuses_is_parked_alone_and_the_rest_goes_on(
    path: WritePath, place: int
) -> None:
    await path.pool.execute("ALTER TABLE fine ADD CHECK (fine_id <> 'POISON')")
    records = [fine(fine_id=f"F-{number}") for number in range(9)]
    records[place] = fine(fine_id="POISON")
    report = await path.take(*records)
    assert report.outcomes == {"applied": 8, "parked:internal_error": 1}
    assert report.transactions == 8
    (parked,) = await path.rows("SELECT * FROM parked_error")
    assert parked["record_value"] == records[place].value
    assert parked["record_offset"] == place
    assert parked["institution_id"] == "6050"
    assert "POISON" not in str(parked["error"])
    assert await path.value("SELECT count(*) FROM fine") == 8
    assert await path.value("SELECT next_offset FROM consumer_offset") == 9
    assert (await path.take(fine(fine_id="F-9"))).outcomes == {"applied": 1}


async def test_a_payment_the_database_refuses_leaves_its_fine_as_it_was(path: WritePath) -> None:
    await path.take(fine(), fine(fine_id="F-2"))
    await path.pool.execute("ALTER TABLE payment ADD CHECK (payment_id <> 'POISON')")
    before = await path.rows("SELECT * FROM fine ORDER BY fine_id")
    report = await path.take(payment(payment_id="POISON"), payment(fine_id="F-2"))
    assert report.outcomes == {"parked:internal_error": 1, "parked:not_exported": 1}
    assert await path.rows("SELECT * FROM fine ORDER BY fine_id") == before


async def test_the_same_fine_on_two_connections_at_once_counts_once(
    path: WritePath, database_url: str
) -> None:
    async with write_path(database_url, partition=1) as other:
        for number in range(40):
            one = fine(fine_id=f"F-{number}")
            first, second = await asyncio.gather(path.take(one), other.take(one))
            assert Counter(first.outcomes) + Counter(second.outcomes) == {"applied": 1, "repeat": 1}
    assert await path.value("SELECT count(*) FROM ledger_transaction") == 40
    assert await path.value("SELECT active FROM account") == 40 * 9550


async def test_two_contents_of_one_identity_on_two_connections_at_once_are_one_conflict(
    path: WritePath, database_url: str
) -> None:
    async with write_path(database_url, partition=1) as other:
        for number in range(40):
            first, second = await asyncio.gather(
                path.take(fine(fine_id=f"F-{number}")),
                other.take(fine(fine_id=f"F-{number}", patron=patron("P-2"), amount="1.00")),
            )
            found = Counter(first.outcomes) + Counter(second.outcomes)
            assert found == {"applied": 1, "rejected:fine_conflict": 1}
    active = await path.value("SELECT sum(active) FROM account")
    assert active == await path.value("SELECT sum(amount) FROM fine")


PAIRS = 500


async def test_a_fine_and_its_payment_at_the_same_instant_on_two_connections_find_each_other(
    path: WritePath, database_url: str
) -> None:
    """What the two miss of each other is what the sweep is for."""
    fines = [fine(fine_id=f"F-{n}", patron=patron(f"P-{n % 50}")) for n in range(PAIRS)]
    others = [
        change(change_id=f"C-{n}", fine_id=f"F-{n}")
        if n % 2
        else payment(payment_id=f"PAY-{n}", fine_id=f"F-{n}")
        for n in range(PAIRS)
    ]
    async with write_path(database_url, partition=1) as other:
        for one, two in zip(fines, others, strict=True):
            await asyncio.gather(path.take(one), other.take(two))
        await other.sweep()
    waits = await path.rows("SELECT wait, count(*) AS n FROM parked GROUP BY wait")
    assert waits == [{"wait": "not_exported", "n": PAIRS // 2}]
    profiles = profiles_of(PROFILES)
    await path.exports(profiles).run_profile(profiles.profiles[0])
    assert await path.value("SELECT count(*) FROM parked") == 0
    balances = await path.rows("SELECT sum(active) AS a, sum(transferred) AS t FROM account")
    assert balances == [{"a": 0, "t": (PAIRS // 2) * (9550 - 1000)}]


COPRIME_TO_30 = (1, 7, 11, 13, 17, 19, 23, 29)


async def test_eight_connections_on_the_same_accounts_meet_no_deadlock(
    path: WritePath, database_url: str
) -> None:
    async def worker(partition: int) -> Counter[str]:
        """Every poll touches every account, in an order of its own."""
        async with write_path(database_url, partition) as own:
            for turn in range(12):
                numbers = [(n * COPRIME_TO_30[partition] + turn) % 30 for n in range(30)]
                await own.take(
                    *(fine(fine_id=f"F-{turn}-{n}", patron=patron(f"P-{n}")) for n in numbers),
                    *(
                        payment(payment_id=f"{partition}-{turn}-{n}", fine_id=f"F-{turn}-{n}")
                        for n in numbers
                    ),
                    *(
                        change(change_id=f"{partition}-{turn}-{n}", fine_id=f"F-{turn}-{n}")
                        for n in numbers
                    ),
                )
            return own.applier.retries

    retries = await asyncio.gather(*(worker(partition) for partition in range(8)))
    assert sum(retries, Counter())["DeadlockDetectedError"] == 0
    assert await path.value("SELECT count(*) FROM ledger_transaction") == 12 * 30 * 9
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert await path.value(deadlocks) == 0
    assert await path.value("SELECT count(*) FROM parked") == 12 * 30 * 8
    assert await path.value("SELECT sum(active) FROM account") == 12 * 30 * (9550 - 8 * 1000)


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
