"""Work that is begun before its turn: in order, two at most, and none once it was dropped."""

import asyncio

import pytest

from service.consumer.ahead import AHEAD_MAX, Ahead

LAST = 4  # what is not followed any more


class Numbers:
    """Gives 1, 2, 3 ... each after some turns of the event loop."""

    def __init__(self) -> None:
        self.begun = 0

    async def next(self) -> int:
        self.begun += 1
        number = self.begun
        for _ in range(3):
            await asyncio.sleep(0)
        return number


def is_followed(number: int) -> bool:
    return number < LAST


async def turns_of_the_loop() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_results_come_in_order_and_two_are_in_hand_at_most() -> None:
    ahead, numbers, results = Ahead[int](), Numbers(), [0]
    while is_followed(results[-1]):
        ahead.go_on(is_followed(results[-1]), numbers.next, is_followed)
        await turns_of_the_loop()
        assert numbers.begun <= results[-1] + AHEAD_MAX
        task = ahead.take()
        assert task is not None
        results.append(await task)
    assert results == [0, 1, 2, 3, LAST]
    assert ahead.take() is None


async def test_nothing_is_begun_after_a_result_that_nothing_follows() -> None:
    ahead, numbers = Ahead[int](), Numbers()
    ahead.go_on(is_followed(LAST), numbers.next, is_followed)
    assert ahead.take() is None
    assert not await ahead.drop()


@pytest.mark.parametrize("turns", range(12))
async def test_what_was_dropped_begins_nothing_more_however_far_it_was(turns: int) -> None:
    ahead, numbers = Ahead[int](), Numbers()
    ahead.go_on(is_followed(0), numbers.next, is_followed)
    for _ in range(turns):
        await asyncio.sleep(0)
    assert await ahead.drop()
    begun = numbers.begun
    await turns_of_the_loop()
    assert ahead.take() is None
    assert numbers.begun == begun


async def test_an_error_is_raised_to_whoever_takes_what_failed() -> None:
    async def fail() -> int:
        raise TimeoutError

    ahead = Ahead[int]()
    ahead.go_on(is_followed(0), fail, is_followed)
    await turns_of_the_loop()
    task = ahead.take()
    assert task is not None
    with pytest.raises(TimeoutError):
        await task


async def test_a_result_that_has_ended_is_taken_beside_the_first_if_it_fits() -> None:
    ahead, numbers = Ahead[int](), Numbers()
    ahead.go_on(is_followed(0), numbers.next, is_followed)
    assert ahead.take_ended(lambda _: True) is None  # still under way
    await turns_of_the_loop()
    assert ahead.take_ended(lambda number: number > 1) is None
    assert ahead.take_ended(lambda number: number == 1) == 1
    task = ahead.take()
    assert task is not None
    assert await task == 2


async def test_what_has_failed_is_not_taken_beside_another() -> None:
    async def fail() -> int:
        raise TimeoutError

    ahead = Ahead[int]()
    ahead.go_on(is_followed(0), fail, is_followed)
    await turns_of_the_loop()
    assert ahead.take_ended(lambda _: True) is None
    assert await ahead.drop()
