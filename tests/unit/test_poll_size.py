"""A poll that takes long makes the next one smaller, and it grows again."""

import pytest

from service.consumer.pace import PollSize


def after(*polls: tuple[int, int]) -> int:
    size = PollSize(records_max=2_000, target_ms=2_000)
    for records, milliseconds in polls:
        size.took(records, milliseconds)
    return size.records


@pytest.mark.parametrize(
    ("polls", "records"),
    [
        ([], 2_000),
        ([(2_000, 2_000)], 2_000),
        ([(2_000, 4_000)], 1_000),
        ([(2_000, 40_000)], 100),
        ([(2_000, 4_000_000)], 10),
        ([(2_000, 40_000), (100, 1_500)], 100),
        ([(2_000, 40_000), (100, 100)], 200),
        ([(2_000, 40_000), (3, 100)], 100),
        ([(2_000, 40_000)] + [(2_000, 100)] * 5, 2_000),
        ([(2_000, 40_000), (500, 2_001)], 100),
    ],
    ids=[
        "nothing yet",
        "as long as it may take",
        "twice as long",
        "twenty times as long",
        "never less than a few",
        "grows only where a poll is much shorter",
        "doubles",
        "a poll that was not full tells nothing",
        "never more than asked for",
        "a late long poll makes it no larger",
    ],
)
def test_the_next_poll_fits_the_time(polls: list[tuple[int, int]], records: int) -> None:
    assert after(*polls) == records


def test_a_poll_that_failed_for_its_time_is_halved_down_to_a_few() -> None:
    size = PollSize(records_max=2_000, target_ms=2_000)
    size.failed()
    assert size.records == 1_000
    for _ in range(20):
        size.failed()
    assert size.records == 10


def test_a_limit_below_a_few_is_kept() -> None:
    size = PollSize(records_max=1, target_ms=2_000)
    size.failed()
    size.took(1, 10_000)
    assert size.records == 1
