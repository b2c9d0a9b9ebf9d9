"""A profile whose batch cannot be sealed waits longer with each failure; others do not wait."""

from dataclasses import replace

import pytest

from service.export.schedule import FIRST_MS, MAX_MS, Retries, RunProgress
from service.runtime.waiting import KEYS_MAX, Postponed
from tests.support.exports import only, profiles_with

PROFILE = only(profiles_with())
OTHER = replace(PROFILE, institution_id="7")
HERE = RunProgress("r", 2)


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns

    def advance_ms(self, milliseconds: int) -> None:
        self.now_ns += milliseconds * 1_000_000


def test_a_profile_waits_for_its_time_and_no_longer() -> None:
    clock = Clock()
    retries = Retries(clock)
    wait_ms = retries.failed(PROFILE, HERE)
    clock.advance_ms(wait_ms - 1)
    assert retries.is_waiting(PROFILE, HERE)
    assert not retries.is_waiting(OTHER, HERE)
    clock.advance_ms(1)
    assert not retries.is_waiting(PROFILE, HERE)


def test_a_profile_that_has_not_failed_does_not_wait() -> None:
    """By a clock that moves from one look at it to the next."""
    assert not Retries().is_waiting(PROFILE, HERE)


def test_waits_grow_up_to_a_bound_and_begin_again_after_a_success() -> None:
    retries = Retries(Clock())
    waits_ms = [retries.failed(PROFILE, HERE) for _ in range(100)]
    assert all(
        bound_ms / 2 <= wait_ms <= bound_ms
        for wait_ms, bound_ms in zip(
            waits_ms, [min(MAX_MS, FIRST_MS * 2**n) for n in range(100)], strict=True
        )
    )
    retries.succeeded(PROFILE)
    assert not retries.is_waiting(PROFILE, HERE)
    assert retries.failed(PROFILE, HERE) <= FIRST_MS


@pytest.mark.parametrize("place", [None, RunProgress("r", 3), RunProgress("another", 2)])
def test_a_profile_waits_no_longer_once_another_exporter_has_moved_its_run(
    place: RunProgress | None,
) -> None:
    retries = Retries(Clock())
    for _ in range(10):
        retries.failed(PROFILE, HERE)
    assert retries.is_waiting(PROFILE, HERE)
    assert not retries.is_waiting(PROFILE, place)
    assert not retries.is_waiting(PROFILE, HERE), "forgotten, not only passed over"
    assert retries.failed(PROFILE, HERE) <= FIRST_MS


def test_what_fails_beyond_the_bound_is_not_put_off_and_what_is_due_makes_room() -> None:
    clock = Clock()
    postponed = Postponed[int](FIRST_MS, MAX_MS, clock)
    for key in range(KEYS_MAX):
        postponed.failed(key)
    assert postponed.failed(KEYS_MAX) == 0
    assert not postponed.is_waiting(KEYS_MAX)
    clock.advance_ms(FIRST_MS)
    assert postponed.failed(KEYS_MAX) > 0
    assert postponed.is_waiting(KEYS_MAX)
