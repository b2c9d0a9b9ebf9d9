"""A parked record that can be read or decided no more is set apart; everything else goes on."""

import pytest

from service.apply.applier import Applier
from service.apply.operator_actions import Justification
from service.apply.tally import TallyInMetrics
from service.core import decisions
from service.core import parked as core_parked
from service.database.ledger_read import LedgerReader
from service.export import build
from service.export.build import lines_of
from service.export.job import ExportJob
from service.operations import parked
from service.runtime.telemetry import Metrics
from tests.support.failing import cannot_read, fails_for, fines_of, parked_now, pays
from tests.support.guards import Unguarded
from tests.support.mixture import PROFILES
from tests.support.write_path import OUTPUTS, TOPICS, WritePath, fine, profiles_of

ALL = [f"F-{number}" for number in range(10, 30)]
BAD = "F-13"
JUSTIFICATION = Justification("tester", "a test")


async def test_a_parked_record_that_can_be_read_no_more_is_set_apart(path: WritePath) -> None:
    await path.take(pays("A", "F-1"), pays("B", "F-1"), pays("C", "F-2"))
    path.applier = Applier(Unguarded(path.pool), LedgerReader(cannot_read('"B"')), OUTPUTS)
    report = await path.take(fine(fine_id="F-1"), fine(fine_id="F-2"))
    assert report.outcomes["applied"] == 2
    waits = {item.id: (item.wait.value, item.error) for item in await parked_now(path)}
    assert waits == {
        "A": ("not_exported", None),
        "B": ("internal_error", "Mistake"),
        "C": ("not_exported", None),
    }


async def test_a_parked_record_that_fails_to_be_decided_stops_no_other_queue_of_the_sweep(
    path: WritePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    await path.take(*(pays(f"P-{entry}", entry) for entry in ALL))
    await path.take(*(fine(fine_id=entry) for entry in ALL))
    await path.pool.execute("UPDATE parked SET wait = 'unknown_fine'")  # as if they had missed
    failing = fails_for(f"'{BAD}'", decisions.decide)
    monkeypatch.setattr(core_parked, "decide", failing)
    await path.sweep()
    waits = {item.fine_id: item.wait.value for item in await parked_now(path)}
    assert waits == {entry: "internal_error" if entry == BAD else "not_exported" for entry in ALL}


async def test_a_record_that_fails_to_be_decided_in_the_poll_that_parked_it_is_set_apart(
    path: WritePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = core_parked._retry
    monkeypatch.setattr(core_parked, "_retry", fails_for("'F-1'", works))
    await path.take(pays("A", "F-1"), fine(fine_id="F-1"), pays("B", "F-2"), fine(fine_id="F-2"))
    assert await fines_of(path) == {"F-1", "F-2"}
    waits = {item.id: item.wait.value for item in await parked_now(path)}
    assert waits == {"A": "internal_error", "B": "not_exported"}


@pytest.mark.parametrize("action", ["release", "discard"])
async def test_a_parked_record_that_was_set_apart_is_for_a_person(
    path: WritePath, action: str
) -> None:
    await path.take(pays("B", "F-1"))
    sound = path.applier
    path.applier = Applier(Unguarded(path.pool), LedgerReader(cannot_read('"B"')), OUTPUTS)
    await path.take(fine(fine_id="F-1"))
    (item,) = await parked_now(path)
    result = await parked.release(path.applier, item, JUSTIFICATION)
    assert (result.done, result.outcome) == (False, "fails: Mistake")
    assert [entry.wait for entry in await parked_now(path)] == ["internal_error"]
    if action == "release":
        result = await parked.release(sound, item, JUSTIFICATION)
        assert result.done
        assert [entry.wait for entry in await parked_now(path)] == ["not_exported"]
    else:
        result = await parked.discard(path.applier, item, JUSTIFICATION)
        assert (result.done, result.outcome) == (True, "discarded")
        assert await parked_now(path) == []
        state = await path.rows("SELECT state, reason FROM payment")
        assert state == [{"state": "rejected", "reason": "discarded"}]
        assert await path.value("SELECT reason FROM rejected") == "discarded"


async def test_a_run_goes_on_without_a_parked_record_that_can_be_read_no_more(
    path: WritePath,
) -> None:
    await path.take(fine(fine_id="F-1"), pays("A", "F-1"), pays("B", "F-1"))
    path.applier = Applier(Unguarded(path.pool), LedgerReader(cannot_read('"B"')), OUTPUTS)
    profiles = profiles_of(PROFILES)
    assert await path.exports(profiles).run_profile(profiles.profiles[0]) == 1
    assert [(item.id, item.wait) for item in await parked_now(path)] == [("B", "internal_error")]
    assert await path.value("SELECT state FROM payment WHERE payment_id = 'A'") == "applied"


async def test_a_profile_on_which_the_program_fails_stops_neither_the_others_nor_the_process(
    path: WritePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    await path.take(fine(fine_id="F-1", type="LOSTITEMREPLACEMENTFEE"), fine(fine_id=BAD))
    profiles = profiles_of(PROFILES.replace('match = "02"', 'match = "02"\ninterval_seconds = 60'))
    monkeypatch.setattr(build, "lines_of", fails_for(f"'{BAD}'", lines_of))
    metrics = Metrics()
    path.applier.tally_sink = TallyInMetrics(metrics)
    job = ExportJob(path.applier, TOPICS, profiles)
    await path.pool.execute("UPDATE profile_seen SET since = since - interval '1 day'")
    assert await job.run_once() == 1
    failures = metrics.registry.get_sample_value("bursar_run_failures_total", {"profile": "both"})
    assert failures == 1
    assert await path.value("SELECT status FROM fine WHERE fine_id = $1", BAD) == "Active"
