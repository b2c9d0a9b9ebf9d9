"""An institution sends nothing but bad payments, under load, until a person has decided on them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from tests.faults.operator import until_named
from tests.faults.single_events import bad_payment, fine, payment
from tests.faults.stage import QUIET_SECONDS_MAX, Stage
from tests.support.load_events import Event, take_all

NAMES = ("one", "two")
CONTRACT = "bursar-payment.v1"
BAD_MAX = 50  # in a row
POLL_RECORDS_MAX = 20
BAD, SOUND = 10 * BAD_MAX, 60
# Neither has a profile, so that none of their fines is exported.
STOPPED, OTHER = "2001", "2002"
SETTINGS = {
    "BURSAR_BAD_RECORDS_IN_A_ROW_MAX": str(BAD_MAX),
    "BURSAR_POLL_RECORDS_MAX": str(POLL_RECORDS_MAX),
}
COUNTS = (
    "SELECT rejected, waiting, rejected + waiting AS taken, stopped, resuming FROM"
    " (SELECT count(*) AS rejected FROM rejected WHERE institution_id = $1) AS r,"
    " (SELECT count(*) AS waiting FROM stopped_record) AS w,"
    " (SELECT count(*) FILTER (WHERE resumed_at IS NULL) AS stopped,"
    " count(*) FILTER (WHERE resumed_at IS NOT NULL) AS resuming FROM intake_stop) AS s"
)
APPLIED = (
    "SELECT (SELECT count(*) FROM fine WHERE institution_id = $1) AS fines,"
    " (SELECT count(*) FROM payment WHERE institution_id = $1) AS payments"
)


class BadRuns:
    """Runs of bad payments of an institution, each of which two resumptions end."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._runs = 0  # that are over

    async def come_and_go(self) -> None:
        """A run stops the payments of its institution. A person resumes them, and they are stopped
        again, because what waits first is bad as well; then a person allows as many as there are.
        """
        before = self._runs * BAD
        numbers = range(before, before + BAD)
        self._stage.row.count("run of bad records")
        await self._publish([bad_payment(STOPPED, number) for number in numbers])
        await self._until(COUNTS, STOPPED, stopped=1, taken=before + BAD)
        rejected = await self._rejected()
        assert rejected == before + BAD_MAX
        await until_named(self._stage, "stopped_topics", f"stopped for institution {STOPPED}")
        await self._others_go_on(numbers[:SOUND])
        await self._until_stopped(rejected, before + BAD + SOUND - rejected)
        await self._resume()
        rejected += BAD_MAX
        await self._until_stopped(rejected, before + BAD + SOUND - rejected)
        await self._resume("--bad-records", str(BAD))
        await self._until(COUNTS, STOPPED, rejected=before + BAD, waiting=0, resuming=0)
        self._runs += 1
        await self._until(APPLIED, STOPPED, payments=self._runs * SOUND)

    async def _others_go_on(self, numbers: Sequence[int]) -> None:
        """Meanwhile sound records are applied: those of the institution in another topic, and those
        of another institution in the topic that is stopped. The sound payments of the institution
        wait behind the bad ones.
        """
        fines = [fine(name, number) for name in (STOPPED, OTHER) for number in numbers]
        payments = [payment(name, number) for name in (STOPPED, OTHER) for number in numbers]
        await self._publish([*fines, *payments])
        before, now = self._runs * SOUND, (self._runs + 1) * SOUND
        await self._until(APPLIED, OTHER, fines=now, payments=now)
        await self._until(APPLIED, STOPPED, fines=now, payments=before)

    async def _publish(self, events: list[Event]) -> None:
        take_all(self._stage.model, events)
        await self._stage.publish(events)
        self._stage.row.events += len(events)

    async def _resume(self, *options: str) -> None:
        where = ("--topic", self._stage.site.topic(CONTRACT), "--institution", STOPPED)
        why = ("--reason", "a test", "--operator", "ann")
        await self._stage.site.command("intake", "resume", *where, *options, *why)

    async def _until_stopped(self, rejected: int, waiting: int) -> None:
        """Waits until a stop is in force with so many records, and `intake list` says the same."""
        counts = {"rejected": rejected, "waiting": waiting, "stopped": 1, "resuming": 0}
        await self._until(COUNTS, STOPPED, **counts)
        text = await self._stage.site.command("intake", "list", "--json")
        (stop,) = (json.loads(each) for each in text.splitlines())
        assert stop["topic"] == self._stage.site.topic(CONTRACT)
        assert (stop["institution_id"], stop["state"]) == (STOPPED, "stopped")
        assert (stop["waiting"], stop["bad_records"]) == (waiting, BAD_MAX)

    async def _rejected(self) -> int:
        (row,) = await self._stage.site.rows(COUNTS, STOPPED)
        return int(str(row["rejected"]))

    async def _until(self, query: str, institution: str, **values: int) -> None:
        """Waits until the columns of the only row of a query about the institution are so."""
        latest: dict[str, object] = {}

        async def are_so() -> bool:
            (row,) = await self._stage.site.rows(query, institution)
            latest.update(row)
            return values.items() <= row.items()

        try:
            await self._stage.until(are_so, QUIET_SECONDS_MAX)
        except TimeoutError as problem:
            raise AssertionError(f"{latest} instead of {values}") from problem


@pytest.mark.slow
@pytest.mark.parametrize(
    (),
    [
        pytest.param(marks=pytest.mark.fault("bad-run")),
        pytest.param(marks=pytest.mark.fault("bad-run-processes", processes=2)),
    ],
)
async def test_a_run_of_bad_records_stops_one_institution_until_a_person_resumes_it(
    stage: Stage,
) -> None:
    """Each stop is an alarm in the log of one process."""
    stage.site.settings = {**stage.site.settings, **SETTINGS}  # the commands read them as well
    await stage.start(*NAMES)
    runs = BadRuns(stage)
    await stage.under_load(runs.come_and_go)
    entries = [entry for name in NAMES for entry in stage.site.log(name)]
    alarms = [entry for entry in entries if entry["event"] == "intake_stopped"]
    assert [(each["institution_id"], each["level"]) for each in alarms] == [(STOPPED, "error")] * 4
    assert stage.row.restarts == 0
