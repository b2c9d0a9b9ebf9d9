"""A profile whose batch cannot be sealed waits longer with each failure; others do not wait."""

from dataclasses import replace

from service.export.retries import FIRST_MS, MAX_MS, Retries
from tests.support.exports import only, profiles_with

PROFILE = only(profiles_with())
OTHER = replace(PROFILE, institution_id="7")


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
    wait_ms = retries.failed(PROFILE)
    clock.advance_ms(wait_ms - 1)
    assert retries.is_waiting(PROFILE)
    assert not retries.is_waiting(OTHER)
    clock.advance_ms(1)
    assert not retries.is_waiting(PROFILE)


def test_a_profile_that_has_not_failed_does_not_wait() -> None:
    """By a clock that moves from one look at it to the next."""
    assert not Retries().is_waiting(PROFILE)


def test_waits_grow_up_to_a_bound_and_begin_again_after_a_success() -> None:
    retries = Retries(Clock())
    waits_ms = [retries.failed(PROFILE) for _ in range(100)]
    assert all(
        bound_ms / 2 <= wait_ms <= bound_ms
        for wait_ms, bound_ms in zip(
            waits_ms, [min(MAX_MS, FIRST_MS * 2**n) for n in range(100)], strict=True
        )
    )
    retries.succeeded(PROFILE)
    assert not retries.is_waiting(PROFILE)
    assert retries.failed(PROFILE) <= FIRST_MS
