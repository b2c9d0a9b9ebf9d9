"""Polls of two halves of the partitions: which partitions are a half, and what may go together."""

import asyncio

import pytest
from aiokafka import TopicPartition

from service.consumer.halves import are_apart, half_of, results_of
from service.core.events import Rejection
from service.core.ledger import Origin
from service.core.words import Reason


def places(topic: str, *numbers: int) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in numbers]


def records(*places: tuple[str, int]) -> list[Rejection]:
    origins = [Origin(topic, partition, 0, None, None, ()) for topic, partition in places]
    return [Rejection(Reason.INVALID_JSON, "record: must have a value", at) for at in origins]


def test_the_halves_are_whole_numbers_in_all_topics_and_have_every_partition_once() -> None:
    assigned = [*places("fines", 0, 1, 4, 5), *places("payments", 0, 1, 4, 5)]
    even, odd = half_of(assigned, 0), half_of(assigned, 1)
    assert even == [*places("fines", 0, 4), *places("payments", 0, 4)]
    assert odd == [*places("fines", 1, 5), *places("payments", 1, 5)]
    assert half_of(assigned, 2) == even


def test_a_member_that_has_every_second_partition_has_two_halves_too() -> None:
    assigned = places("fines", 0, 2, 4)
    assert half_of(assigned, 0) == places("fines", 0, 4)
    assert half_of(assigned, 1) == places("fines", 2)


def test_a_single_partition_has_one_half() -> None:
    assert half_of(places("fines", 3), 0) == places("fines", 3)
    assert half_of(places("fines", 3), 1) == []


def test_records_of_one_number_are_not_apart_even_in_two_topics() -> None:
    """An account has its records in the partitions of one number."""
    fines = records(("fines", 0), ("fines", 2))
    assert are_apart(fines, records(("fines", 1), ("payments", 3)))
    assert not are_apart(fines, records(("fines", 1), ("payments", 2)))


def test_nothing_is_apart_from_no_records() -> None:
    assert not are_apart(records(("fines", 0)), [])
    assert not are_apart([], records(("fines", 0)))


async def test_an_error_is_raised_when_the_other_work_has_ended_too() -> None:
    ended = False

    async def fails() -> None:
        raise TimeoutError

    async def goes_on() -> None:
        nonlocal ended
        for _ in range(5):
            await asyncio.sleep(0)
        ended = True

    with pytest.raises(TimeoutError):
        await results_of(fails(), goes_on())
    assert ended


async def test_results_come_in_the_order_of_the_works() -> None:
    is_over = asyncio.Event()

    async def late() -> str:
        await is_over.wait()
        return "late"

    async def early() -> str:
        is_over.set()
        return "early"

    assert await results_of(late(), early()) == ["late", "early"]
