"""A record on which the program fails is set apart; everything else goes on."""

import pytest

from service.apply.applier import Applier
from service.apply.isolation import TooManyInternalErrors
from service.apply.operator_actions import Justification
from service.apply.poll import Poll
from service.core import rules
from service.core.events import FailedRecord
from service.database import outbox
from service.database.ledger_read import LedgerReader
from service.messages.decode import parse
from service.operations import parked, rejected
from service.operations.rejected import RejectedFilter
from service.settings.parts import ApplyLimits
from tests.support.failing import cannot_read, fails_for, fines_of, parked_now, pays
from tests.support.guards import Unguarded
from tests.support.mixture import PROFILES
from tests.support.write_path import (
    OUTPUTS,
    Record,
    WritePath,
    fine,
    profiles_of,
)

BAD = "F-13"
JUSTIFICATION = Justification("tester", "a test")


ALL = [f"F-{number}" for number in range(10, 30)]


@pytest.mark.parametrize(
    ("where", "name"),
    [(rules, "_create"), (outbox, "balance_changed_value")],
    ids=["fold", "encode"],
)
async def test_a_record_on_which_a_decision_fails_is_parked_alone(
    path: WritePath, monkeypatch: pytest.MonkeyPatch, where: object, name: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(where, name, fails_for(f"'{BAD}'", getattr(where, name)))
        report = await path.take(*(fine(fine_id=entry) for entry in ALL))
    assert report.outcomes == {"applied": 19, "parked:internal_error": 1}
    assert await fines_of(path) == set(ALL) - {BAD}
    (row,) = await path.rows("SELECT * FROM parked_error")
    assert (row["record_offset"], row["error"]) == (3, "Mistake")
    assert isinstance(row["record_value"], bytes)
    assert BAD.encode() in row["record_value"]
    (item,) = await parked_now(path)
    result = await parked.release(path.applier, item, JUSTIFICATION)
    assert (result.done, result.outcome) == (True, "applied")
    assert await fines_of(path) == set(ALL)


async def test_a_record_on_which_the_reading_fails_is_parked_and_all_others_applied(
    path: WritePath,
) -> None:
    poll = await path.poll(fine(fine_id=item) for item in ALL)
    records = tuple(
        FailedRecord(item.origin, "101", "Mistake") if place == 3 else item
        for place, item in enumerate(poll.records)
    )
    report = await path.apply(Poll(records, poll.assignments))
    assert report.outcomes == {"applied": 19, "parked:internal_error": 1}
    assert report.assignments[0].next_offset == 20


async def test_many_failures_in_a_row_stop_the_process_instead_of_parking_a_topic(
    path: WritePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "_create", fails_for("", rules._create))
    limits = ApplyLimits(internal_errors_in_a_row_max=3)
    for _ in range(2):  # the second one is started again, and knows from the database
        path.applier = Applier(Unguarded(path.pool), LedgerReader(parse), OUTPUTS, limits)
        with pytest.raises(TooManyInternalErrors):
            await path.apply(await _poll_from(path, [fine(fine_id=item) for item in ALL]))
    assert await path.value("SELECT count(*) FROM parked_error") == 3


async def _poll_from(path: WritePath, records: list[Record]) -> Poll:
    path._assignments.clear()  # as a process that starts
    return await path.poll(records)


async def test_failures_between_sound_records_stop_nothing(
    path: WritePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "_create", fails_for("'F-1", rules._create))
    limits = ApplyLimits(internal_errors_in_a_row_max=1)
    path.applier = Applier(Unguarded(path.pool), LedgerReader(parse), OUTPUTS, limits)
    records = [fine(fine_id=f"F-{place % 2 + 1}{place}") for place in range(20)]
    report = await path.take(*records)
    assert report.outcomes == {"applied": 10, "parked:internal_error": 10}


async def test_a_fine_of_a_withdrawn_currency_is_judged_by_its_day_and_goes_on_to_its_end(
    path: WritePath,
) -> None:
    """The record of a fine may come, or come again, long after the fine was created."""
    bgn = {"currency": "BGN", "amount": "10.00"}
    await path.take(
        fine(fine_id="F-1", created_at="2025-11-30T08:00:00Z", **bgn),
        pays("A", "F-1", **bgn),
        pays("B", "F-2", **bgn),
    )
    profile = PROFILES.replace("USD", "BGN")
    for item in profiles_of(profile).profiles:
        await path.exports(profiles_of(profile)).run_profile(item)
    assert await path.rows("SELECT active, transferred FROM account") == [
        {"active": 0, "transferred": 0}
    ]
    assert [item.id for item in await parked_now(path)] == ["B"]
    report = await path.take(fine(fine_id="F-3", created_at="2026-02-01T00:00:00Z", **bgn))
    assert report.outcomes == {"rejected:invalid_currency": 1}


async def test_a_replay_on_which_the_program_fails_is_told_and_changes_nothing(
    path: WritePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    await path.take(fine(fine_id="F-1"), fine(fine_id="F-1", amount="1.00"))
    async with path.pool.acquire() as connection:
        (item,) = await rejected.find(connection, RejectedFilter())
    monkeypatch.setattr(rejected, "parse", cannot_read("F-1"))
    result = await rejected.replay(path.applier, item, JUSTIFICATION)
    assert (result.done, result.outcome) == (False, "fails: Mistake")
    async with path.pool.acquire() as connection:
        assert await rejected.find(connection, RejectedFilter()) == [item]
