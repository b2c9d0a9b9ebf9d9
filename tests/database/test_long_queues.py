"""Very many records that wait for one fine cost those that come after them nothing."""

from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from service.apply.applier import Applier
from service.apply.operator_actions import Justification
from service.core.events import Incoming, Rejection
from service.core.ledger import Origin
from service.database.ledger_read import LedgerReader
from service.messages.decode import parse
from service.operations import parked
from service.operations.gauges import Gauges
from service.operations.parked_records import ParkedFilter
from service.runtime.telemetry import Metrics
from tests.support.exports import only, profiles_with
from tests.support.guards import Unguarded
from tests.support.inputs import ABSENT
from tests.support.write_path import OUTPUTS, Record, WritePath, fine, payment

NOWHERE = "N/A"
PROFILES = profiles_with()


@dataclass
class Reading:
    """Reads parked records, and counts them."""

    count: int = 0

    def __call__(self, contract: str, origin: Origin) -> Incoming | Rejection:
        self.count += 1
        return parse(contract, origin)


@pytest.fixture
def reading(path: WritePath) -> Reading:
    """What the write path reads anew."""
    counted = Reading()
    path.applier = Applier(Unguarded(path.pool), LedgerReader(counted), OUTPUTS)
    return counted


def pays(number: int, fine_id: str = NOWHERE) -> Record:
    return payment(payment_id=f"P-{number}", fine_id=fine_id, bursar_transaction_id=ABSENT)


def takes_back(number: int) -> Record:
    return payment(
        payment_id=f"R-{number}",
        kind="reversal",
        reverses_payment_id=f"P-{number}",
        fine_id=ABSENT,
        bursar_transaction_id=ABSENT,
        amount=ABSENT,
        currency=ABSENT,
    )


async def queue_of(path: WritePath, count: int) -> None:
    await path.take_in_polls([pays(number) for number in range(count)], 2_000)


@pytest.mark.parametrize("count", [2_000, pytest.param(40_000, marks=pytest.mark.slow)])
async def test_a_record_for_a_fine_that_is_not_there_reads_none_of_its_queue(
    path: WritePath, reading: Reading, count: int
) -> None:
    await queue_of(path, count)
    assert reading.count == 0
    report = await path.take(pays(count), fine(fine_id="F-1"), pays(count + 1, "F-1"))
    assert report.outcomes == {
        "applied": 1,
        "parked:unknown_fine": 1,
        "parked:not_exported": 1,
    }
    assert reading.count == 0
    await path.take(takes_back(7))
    assert reading.count == 1  # the payment that is to be reversed
    queues = await path.rows("SELECT wait, fine_id FROM parked WHERE id = 'R-7'")
    assert queues == [{"wait": "unknown_original", "fine_id": NOWHERE}]


@pytest.mark.parametrize("count", [500, pytest.param(40_000, marks=pytest.mark.slow)])
async def test_the_whole_queue_is_decided_in_its_order_when_the_fine_comes(
    path: WritePath, reading: Reading, count: int
) -> None:
    await queue_of(path, count)
    report = await path.take(fine(fine_id=NOWHERE))
    assert report.outcomes["applied"] == 1
    assert reading.count == count
    assert await path.rows("SELECT wait, count(*) FROM parked GROUP BY wait") == [
        {"wait": "not_exported", "count": count}
    ]


async def test_a_payment_whose_line_became_another_fines_is_rejected_and_its_queue_is_not_read(
    path: WritePath, reading: Reading
) -> None:
    """As long as neither was known, it might have been the line of the fine that it names."""
    first_line = "10000000018"
    await queue_of(path, 200)
    await path.take(payment(payment_id="LATE", fine_id=NOWHERE, bursar_transaction_id=first_line))
    await path.take(payment(payment_id="R", fine_id=NOWHERE, bursar_transaction_id="9" * 16))
    await path.sweep()
    assert (await path.value("SELECT count(*) FROM parked"), reading.count) == (202, 0)
    await path.take(fine(fine_id="F-1"))
    await path.exports(PROFILES).run_profile(only(PROFILES))
    assert await path.value("SELECT bursar_transaction_id FROM export_line") == first_line
    await path.sweep()
    assert reading.count == 1
    states = "SELECT payment_id, reason FROM payment WHERE state = 'rejected'"
    assert await path.rows(states) == [{"payment_id": "LATE", "reason": "reference_mismatch"}]
    assert await path.rows("SELECT reason FROM rejected") == [{"reason": "reference_mismatch"}]
    assert await path.value("SELECT count(*) FROM parked") == 201
    assert await path.value("SELECT outstanding FROM fine") == 9550


async def test_a_person_discards_from_a_long_queue_without_reading_it(
    path: WritePath, reading: Reading
) -> None:
    await queue_of(path, 200)
    async with path.pool.acquire() as connection:
        (item,) = await parked.find(connection, ParkedFilter(id="P-7"))
    result = await parked.discard(path.applier, item, Justification("tester", "a wrong fine"))
    assert result.outcome == "discarded"
    assert reading.count == 1
    assert await path.value("SELECT count(*) FROM parked") == 199


async def test_the_longest_queue_is_measured_and_an_alarm(path: WritePath) -> None:
    await queue_of(path, 30)
    await path.take(pays(100, "F-9"))
    metrics = Metrics()
    measure = Gauges(path.pool, metrics, parked_queue_alarm_records=30)
    with capture_logs() as logs:
        await measure.run_once()
        await measure.run_once()
    assert metrics.registry.get_sample_value("bursar_parked_queue_longest") == 30
    (line,) = [line for line in logs if line["event"] == "parked_queue_long"]
    assert (line["log_level"], line["institution_id"], line["records"]) == ("error", "6050", 30)
