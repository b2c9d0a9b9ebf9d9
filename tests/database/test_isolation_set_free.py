"""A parked record on whose effects the program fails is set apart; what set it free goes on.

The records around it are changes, for a change moves its fine as soon as that is there, and
payments, which an export sets free.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service.apply.applier import Applier
from service.apply.isolation import TooManyInternalErrors
from service.apply.operator_actions import DecisionResult, Justification
from service.core.events import ParkedKey
from service.core.ledger import SourceKey
from service.core.parked import ParkedFailure
from service.database.ledger_read import LedgerReader
from service.database.session import Connection
from service.export.preview import preview
from service.export.selection import Exclusion
from service.messages.decode import parse
from service.operations import parked
from service.operations.parked_records import ParkedRecord
from service.settings.parts import ApplyLimits
from tests.support.failing import cannot_read, parked_now, pays
from tests.support.guards import Unguarded
from tests.support.mixture import PROFILES
from tests.support.setting_free import (
    BAD,
    BOTH,
    FAILURES,
    FINES,
    JUSTIFICATION,
    break_it,
    by_command,
    by_export,
    by_intake,
    by_sweep,
    queues,
)
from tests.support.write_path import (
    OUTPUTS,
    WritePath,
    change,
    fine,
    miss_the_fine,
    outbox_of,
    profiles_of,
)

REJECTED_ONCE = """
CREATE SEQUENCE rejections;
CREATE FUNCTION reject_once() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
    IF nextval('rejections') = 1 THEN RAISE EXCEPTION 'no' USING ERRCODE = '23514'; END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER reject_once BEFORE INSERT ON ledger_transaction
FOR EACH STATEMENT EXECUTE FUNCTION reject_once()
"""


DATABASE_ERROR = "CheckViolationError ledger_transaction_sequence_check"


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("commit", [by_intake, by_sweep, by_export, by_command])
async def test_a_record_that_is_set_free_and_fails_is_set_apart_alone(
    path: WritePath,
    monkeypatch: pytest.MonkeyPatch,
    commit: Callable[[WritePath, pytest.MonkeyPatch, str], Awaitable[None]],
    failure: str,
) -> None:
    with monkeypatch.context() as patch:
        await commit(path, patch, failure)
        (item,) = await parked_now(path)
        error = DATABASE_ERROR if failure == "database" else "Mistake"
        assert (item.id, item.wait, item.error) == (BAD, "internal_error", error)
        assert item.is_bound
    states = await path.rows("SELECT change_id, state FROM fine_change ORDER BY change_id")
    assert {row["change_id"]: row["state"] for row in states} == {
        BAD: "parked",
        "C-1": "applied",
        "C-3": "applied",
        "C-4": "applied",
    }
    assert await path.value("SELECT count(*) FROM parked_error") == 0
    decision = await parked.release(path.applier, item, JUSTIFICATION)  # the cause is mended
    assert decision.done
    assert await parked_now(path) == []
    assert await path.value("SELECT sum(active + transferred) FROM account") == await path.value(
        "SELECT sum(active_change + transferred_change) FROM ledger_transaction"
    )


@pytest.mark.parametrize("failure", ["encode", "write_a_transaction", "database"])
async def test_a_record_that_fails_itself_is_parked_and_not_what_it_would_set_free(
    path: WritePath, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    """Its fine is in the effects of the changes as well: they fail only because of it."""
    await path.take(*queues("fold"))
    with monkeypatch.context() as patch:
        break_it(patch, failure, "'F-1'")
        report = await path.take(*FINES)
    assert report.outcomes["parked:internal_error"] == 1
    waits = {item.id: item.wait.value for item in await parked_now(path) if item.is_bound}
    assert waits == dict.fromkeys(("C-1", BAD, "C-3"), "unknown_fine")
    assert await path.value("SELECT count(*) FROM parked_failure") == 0
    (bad,) = [item for item in await parked_now(path) if not item.is_bound]
    assert (await parked.release(path.applier, bad, JUSTIFICATION)).outcome == "applied"
    assert await parked_now(path) == []


@pytest.mark.parametrize("failure", ["fold", "encode", "write_a_transaction", "database"])
async def test_an_export_goes_on_without_a_payment_that_it_sets_free_and_that_fails(
    path: WritePath, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    """What may not be decided before the failed one, its own reversal, waits behind it."""
    more = {"kind": "reversal", "reverses_payment_id": BAD, "amount": "1.00"}
    await path.take(
        fine(fine_id="F-1"),
        pays(BAD, "F-1", amount="1.00"),
        pays("R-1", "F-1", **more),
        pays("B", "F-1", amount="2.00"),
    )
    its_name = "id" if failure == "fold" else "payment_id"
    with monkeypatch.context() as patch:
        break_it(patch, failure, f" {its_name}='{BAD}'")  # the reversal names it otherwise
        assert await path.exports(profiles_of(PROFILES)).run_profile(BOTH) == 1
        waits = {item.id: item.wait.value for item in await parked_now(path)}
    assert waits == {BAD: "internal_error", "R-1": "unknown_original"}
    assert await path.value("SELECT outstanding FROM fine") == 9350
    bad = next(item for item in await parked_now(path) if item.id == BAD)
    assert (await parked.release(path.applier, bad, JUSTIFICATION)).outcome == "applied"
    assert await parked_now(path) == []
    assert await path.value("SELECT outstanding FROM fine") == 9350


async def test_a_preview_is_the_run_without_the_records_that_fail(
    path: WritePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    await path.take(*FINES, pays(BAD, "F-2"), pays("UNREADABLE", "F-2"))
    await miss_the_fine(path, change(change_id="C-1", fine_id="F-1"), *queues("fold")[1:])
    break_it(monkeypatch, "fold")
    store = LedgerReader(cannot_read("UNREADABLE"))
    foreseen = [built async for built in preview(path.pool, store, BOTH)]
    assert await path.value("SELECT count(*) FROM parked_failure") == 0
    path.applier = Applier(Unguarded(path.pool), store, OUTPUTS)
    assert await path.exports(profiles_of(PROFILES)).run_profile(BOTH) == 1
    lines = await path.rows("SELECT fine_id, amount FROM export_line ORDER BY fine_id")
    assert [(line.fine_id, line.amount) for line in foreseen[0].manifest.lines] == [
        (line["fine_id"], line["amount"]) for line in lines
    ]
    assert [line["fine_id"] for line in lines] == ["F-2"]
    (batch,) = await outbox_of(path.pool, "export-manifest.v1")
    assert batch.data["held_back"] == [{"reason": "not_exportable", "count": 1}]
    assert foreseen[0].manifest.held_back == ((Exclusion.NOT_EXPORTABLE, 1),)
    assert len(foreseen) == 1
    assert await path.value("SELECT count(*) FROM parked_failure") == 3


@pytest.mark.parametrize(
    ("decide", "failure"),
    [
        (parked.release, "fold"),
        (parked.release, "encode"),
        (parked.release, "database"),
        (parked.discard, "encode_a_rejection"),
    ],
)
async def test_a_decision_on_the_record_that_fails_says_so_and_changes_nothing(
    path: WritePath,
    monkeypatch: pytest.MonkeyPatch,
    decide: Callable[[Applier, ParkedRecord, Justification], Awaitable[DecisionResult]],
    failure: str,
) -> None:
    await path.take(fine(fine_id="F-1"))
    await miss_the_fine(path, change(change_id=BAD, fine_id="F-1"))
    (item,) = await parked_now(path)
    break_it(monkeypatch, failure)
    decision = await decide(path.applier, item, JUSTIFICATION)
    error = (
        "CheckViolationError: 23514: ledger_transaction_sequence_check"
        if failure == "database"
        else "Mistake"
    )
    assert (decision.done, decision.outcome) == (False, f"fails: {error}")
    (after,) = await parked_now(path)
    assert (after.id, after.wait, after.error) == (BAD, item.wait, None)


@pytest.mark.parametrize("failure", ["fold", "encode", "database"])
async def test_however_many_records_fail_in_one_commit_that_is_made_without_them(
    path: WritePath, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    ids = [f"{BAD}-{number}" for number in range(5)]
    await path.take(*(change(change_id=entry, fine_id="F-1", amount="1.00") for entry in ids))
    await path.take(change(change_id="C-1", fine_id="F-1", amount="1.00"))
    break_it(monkeypatch, failure)
    limit_in_a_row(path, 3)
    report = await path.take(fine(fine_id="F-1"))
    assert report.outcomes == {"applied": 1, "unparked:unknown_fine": 1}
    assert {item.id for item in await parked_now(path)} == set(ids)
    assert await path.value("SELECT count(*) FROM parked_failure") == 5


async def test_a_database_error_that_is_over_by_itself_sets_no_record_apart(
    path: WritePath,
) -> None:
    await path.take(*(change(change_id=f"C-{n}", fine_id="F-1", amount="0.01") for n in range(4)))
    await path.pool.execute(REJECTED_ONCE)
    await path.take(fine(fine_id="F-1"))
    assert await path.value("SELECT count(*) FROM parked_failure") == 0
    assert await path.value("SELECT count(*) FROM parked") == 0


@pytest.mark.parametrize("failure", ["fold", "encode", "database"])
async def test_records_that_fail_in_many_commits_in_a_row_stop_the_process(
    path: WritePath, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    await path.take(*(change(change_id=f"{BAD}{n}", fine_id=f"F-{n}") for n in range(8)))
    await path.take(change(change_id="C-1", fine_id="F-2"))
    break_it(monkeypatch, failure)
    limit_in_a_row(path, 3)
    for number in range(6):  # the third one sets another record free, and ends the row
        await path.take(fine(fine_id=f"F-{number}"))
    with pytest.raises(TooManyInternalErrors):
        await path.take(fine(fine_id="F-6"))
    assert await path.value("SELECT count(*) FROM fine") == 6
    assert await path.value("SELECT count(*) FROM parked_failure") == 6


def limit_in_a_row(path: WritePath, internal_errors_max: int) -> None:
    limits = ApplyLimits(internal_errors_in_a_row_max=internal_errors_max)
    path.applier = Applier(Unguarded(path.pool), LedgerReader(parse), OUTPUTS, limits)


class Commit:
    """Work that fails on a parked record, some times."""

    def __init__(self, key: ParkedKey, failures: int) -> None:
        self._key = key
        self._failures = failures

    async def __call__(self, _: Connection) -> str:
        self._failures -= 1
        if self._failures >= 0:
            raise ParkedFailure((self._key,)) from ValueError()
        return "done"


@pytest.mark.parametrize("is_there", [True, False], ids=["marked", "discarded"])
async def test_a_record_that_a_rival_has_marked_or_discarded_meanwhile_stops_nobody(
    path: WritePath, is_there: bool
) -> None:
    key = ("change", SourceKey("6050", "LIB", BAD))
    if is_there:
        await path.take(change(change_id=BAD, source="LIB"))
        await path.applier.run_in_transaction(Commit(key, 1))
    assert await path.applier.run_in_transaction(Commit(key, 1)) == "done"
    assert await path.value("SELECT count(*) FROM parked_failure") == int(is_there)
    with pytest.raises(TooManyInternalErrors):
        await path.applier.run_in_transaction(Commit(key, 1_000))


async def somebody_waits(path: WritePath) -> None:
    query = """
SELECT EXISTS (
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
)
"""
    async with asyncio.timeout(60):
        while not await path.value(query):
            pass


async def test_a_record_that_is_discarded_while_it_is_marked_stops_nobody(path: WritePath) -> None:
    await path.take(change(change_id=BAD, source="LIB"))
    key = ("change", SourceKey("6050", "LIB", BAD))
    async with path.pool.acquire() as rival:
        async with rival.transaction():
            await rival.execute("DELETE FROM parked")
            commit = asyncio.create_task(path.applier.run_in_transaction(Commit(key, 1)))
            await somebody_waits(path)
        assert await commit == "done"
    assert await path.value("SELECT count(*) FROM parked_failure") == 0
