"""What one poll leaves in its partitions, and what of it was not tried."""

import asyncpg

from service.apply.poll import PARTITIONS_LATE_MAX, PARTITIONS_LOCKED_MAX, HeldPartitions
from service.core.events import Rejection
from service.core.ledger import Origin
from service.core.words import Reason

LOCKED = asyncpg.LockNotAvailableError("locked")
LATE = asyncpg.QueryCanceledError("too late")


def record(partition: int) -> Rejection:
    origin = Origin("library.fine-created.v1", partition, 0, None, b"", ())
    return Rejection(Reason.INVALID_JSON, "record: must be JSON", origin, None)


def left_after(error: Exception, count: int) -> dict[int, bool]:
    """Which partitions are left, and whether they were tried, once `count` records had to wait."""
    holding = HeldPartitions()
    for partition in range(count):
        holding.hold(record(partition), error, 100)
    holding.leave_rest([record(0), record(90), record(91)])
    return {partition: held.is_tried for (_, partition), held in holding.holds.items()}


def test_a_few_records_that_wait_leave_the_rest_to_be_tried() -> None:
    assert left_after(LOCKED, PARTITIONS_LOCKED_MAX - 1) == dict.fromkeys(
        range(PARTITIONS_LOCKED_MAX - 1), True
    )
    assert left_after(LATE, PARTITIONS_LATE_MAX - 1) == dict.fromkeys(
        range(PARTITIONS_LATE_MAX - 1), True
    )


def test_after_many_the_rest_is_left_for_the_next_poll_and_not_held() -> None:
    for error, most in ((LOCKED, PARTITIONS_LOCKED_MAX), (LATE, PARTITIONS_LATE_MAX)):
        assert left_after(error, most) == {
            **dict.fromkeys(range(most), True),
            90: False,
            91: False,
        }
