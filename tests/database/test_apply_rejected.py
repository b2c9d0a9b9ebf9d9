"""Records that are rejected, fenced, or refused by the database, and what stays as it was."""

import pytest

from service.database.offsets import Assignment
from service.runtime.failures import Fenced
from tests.support.exports import patron
from tests.support.inputs import ABSENT
from tests.support.mixture import PROFILES
from tests.support.write_path import (
    WritePath,
    change,
    fine,
    outbox_of,
    payment,
    profiles_of,
    record,
    response,
    reversal,
    tables_of,
    write_path,
)

# Identities that stay known although their record was rejected (rules.md, 3).
BOUND = {"payment", "fine_change", "export_response"}


REJECTED = {
    "invalid_envelope": record("fine-created.v1", b"{}")._replace(headers=()),
    "invalid_json": record("fine-created.v1", b"{"),
    "invalid_schema": fine(fine_id="NEW", patron=ABSENT),
    "invalid_amount": fine(fine_id="NEW", amount=95.5),
    "invalid_currency": fine(fine_id="NEW", currency="XXX"),
    "invalid_text": fine(fine_id="NEW\u202e"),
    "invalid_size": record("fine-created.v1", b" " * (64 * 1024 + 1)),
    "fine_conflict": fine(fine_id="F-1", amount="1.00", patron=patron("P-NEW")),
    "change_conflict": change(change_id="known", fine_id="F-9", amount="1.00"),
    "payment_conflict": payment(payment_id="known", fine_id="F-9"),
    "reference_mismatch": payment(payment_id="n", fine_id="F-9", bursar_transaction_id="LINE"),
    "currency_mismatch": payment(payment_id="n", fine_id="F-1", currency="EUR"),
    "overtaken": change(
        change_id="n",
        fine_id="F-1",
        kind="disputed",
        amount=ABSENT,
        currency=ABSENT,
        changed_at="2026-09-02T09:59:59Z",
    ),
    "already_exported": change(
        change_id="n", fine_id="BOTH-1", kind="cancelled", amount=ABSENT, currency=ABSENT
    ),
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
    await path.export(PROFILES)
    status = {"kind": "status", "status_code": "invoiced", "amount": ABSENT, "currency": ABSENT}
    await path.take(
        fine(fine_id="F-1"),
        change(change_id="known", fine_id="F-1", amount="0.50"),
        change(change_id="back", fine_id="F-1", kind="waived", amount="0.50"),
        change(
            change_id="dated", fine_id="F-1", kind="restored", amount=ABSENT, currency=ABSENT
        ),  # leaves its instant (rules.md, 2b)
        payment(payment_id="known", fine_id="F-1"),
        payment(payment_id="rejected", fine_id="ONLY-1"),
        payment(payment_id="status", fine_id="BOTH-1", **status),
    )


@pytest.mark.parametrize("reason", REJECTED)
async def test_a_rejected_record_changes_nothing_but_the_rejected_table(
    path: WritePath, reason: str
) -> None:
    await every_state(path)
    item = REJECTED[reason]
    if item.value is not None and b'"LINE"' in item.value:
        line = await path.value("SELECT bursar_transaction_id FROM export_line ORDER BY 1 LIMIT 1")
        item = item._replace(value=item.value.replace(b"LINE", str(line).encode()))
    before = await tables_of(path.pool)
    result = len(await outbox_of(path.pool, "balance-changed.v1"))
    assert (await path.take(item)).outcomes == {f"rejected:{reason}": 1}
    after = await tables_of(path.pool)
    for name, rows in after.items():
        new = [row for row in rows if row not in before[name]]
        if name == "rejected":
            (row,) = (row for row in new if row["reason"] == reason)
            assert (row["record_value"], row["record_key"]) == (item.value, item.key)
        elif name in BOUND:
            assert all(row["state"] == "rejected" for row in new)
        elif name != "consumer_offset":
            assert new == [], name
        if name != "consumer_offset":
            assert len(rows) == len(before[name]) + len(new)
    assert len(await outbox_of(path.pool, "balance-changed.v1")) == result
    sent = (await outbox_of(path.pool, "rejected.v1"))[-1]
    assert (sent.key, sent.value) == (item.key, item.value)
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
    has_none = "institution_id: has no profile here"
    line = (
        "bursar_transaction_id: is not known here: "
        "it does not have 11 digits, or 16 as earlier ids have"
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
