"""Which members are started, killed and waited for, and which end of a member ends the service."""

from __future__ import annotations

import signal

import pytest

from service.supervisor.roster import (
    FOR_A_PERSON,
    NOTED_SILENCE_TICKS,
    START_TICKS_MAX,
    STEADY_TICKS,
    WAIT_TICKS_MAX,
    Order,
    Roster,
)

SILENT_TICKS_MAX = 10
SESSION_TICKS = 7


def working(count: int = 2) -> Roster:
    """All members were started and have reported."""
    roster = Roster(count, SILENT_TICKS_MAX, SESSION_TICKS)
    for order, number in list(roster.tick()):
        assert order is Order.START
        roster.started(number)
        roster.reported(number)
    return roster


def ticks_until_start(roster: Roster, number: int) -> int:
    for ticks in range(1, 2 * WAIT_TICKS_MAX):
        if (Order.START, number) in list(roster.tick()):
            return ticks
    raise AssertionError("the member is not started again")


def problems(roster: Roster) -> dict[int, str | None]:
    return {number: member.problem for number, member in roster.members.items()}


def test_every_member_is_started_once() -> None:
    roster = Roster(3, SILENT_TICKS_MAX, SESSION_TICKS)
    assert list(roster.tick()) == [(Order.START, 1), (Order.START, 2), (Order.START, 3)]
    assert set(problems(roster).values()) == {"is starting"}
    for number in (1, 2, 3):
        roster.started(number)
    assert list(roster.tick()) == []
    assert roster.running == [1, 2, 3]
    assert set(problems(roster).values()) == {"is starting"}
    roster.reported(2)
    assert problems(roster) == {1: "is starting", 2: None, 3: "is starting"}


@pytest.mark.parametrize(
    ("ended", "status"),
    [
        pytest.param({1: 2}, 2, id="settings"),
        pytest.param({1: 3}, 3, id="older_database"),
        pytest.param({1: FOR_A_PERSON}, 1, id="topic_made_anew"),
        pytest.param({1: 3, 2: 0}, 3, id="the_others_end_well"),
        pytest.param({1: 3, 2: 1}, 3, id="the_others_fail_too"),
        pytest.param({1: FOR_A_PERSON, 2: 3}, 3, id="another_sees_the_older_database_later"),
        pytest.param({1: 3, 2: -signal.SIGKILL}, 3, id="the_others_have_to_be_killed"),
    ],
)
def test_a_final_end_stops_the_service_with_its_status(ended: dict[int, int], status: int) -> None:
    roster = working()
    for number, its_status in ended.items():
        roster.ended(number, its_status)
        assert roster.is_stopping
    assert roster.status == status
    orders = [order for _ in range(2 * WAIT_TICKS_MAX) for order, _ in roster.tick()]
    assert Order.START not in orders


@pytest.mark.parametrize("status", [0, 1, 4, 5, 7, 127, 137, -signal.SIGKILL, -signal.SIGTERM])
def test_any_other_end_starts_the_member_again(status: int) -> None:
    roster = working()
    roster.ended(2, status)
    assert not roster.is_stopping
    assert roster.running == [1]
    assert ticks_until_start(roster, 2) == 1 + (SESSION_TICKS if status < 0 else 1)
    roster.started(2)
    assert roster.running == [1, 2]


def test_each_failure_in_a_row_doubles_the_wait_up_to_a_bound() -> None:
    roster, waits = working(), []
    for _ in range(9):
        roster.ended(1, 1)
        waits.append(roster.members[1].wait_ticks)
        ticks_until_start(roster, 1)
        roster.started(1)
    assert waits == [1, 2, 4, 8, 16, 32, WAIT_TICKS_MAX, WAIT_TICKS_MAX, WAIT_TICKS_MAX]


@pytest.mark.parametrize(
    ("ran_ticks", "wait_ticks"), [(STEADY_TICKS - 1, 4), (STEADY_TICKS, 1), (STEADY_TICKS + 9, 1)]
)
def test_after_a_steady_time_the_waits_begin_anew(ran_ticks: int, wait_ticks: int) -> None:
    roster = working()
    for _ in range(2):
        roster.ended(1, 1)
        ticks_until_start(roster, 1)
        roster.started(1)
    for _ in range(ran_ticks):
        roster.reported(1)
        list(roster.tick())
    roster.ended(1, 1)
    assert roster.members[1].wait_ticks == wait_ticks


@pytest.mark.parametrize(
    ("count", "failures", "wait_ticks"), [(2, 1, SESSION_TICKS), (2, 4, 8), (1, 1, 1)]
)
def test_a_killed_member_begins_again_when_the_group_waits_for_it_no_more(
    count: int, failures: int, wait_ticks: int
) -> None:
    """Unless it is alone: then nobody has to wait with it."""
    roster = working(count)
    for _ in range(failures):
        roster.ended(1, -signal.SIGKILL)
    assert roster.members[1].wait_ticks == wait_ticks


def test_the_waits_of_a_member_are_its_own() -> None:
    roster = working()
    for _ in range(3):
        roster.ended(1, 1)
    roster.ended(2, 1)
    assert [roster.members[number].wait_ticks for number in (1, 2)] == [4, 1]


def test_a_silent_member_is_killed_once_and_started_again() -> None:
    roster = working()
    orders = []
    for _ in range(SILENT_TICKS_MAX + 5):
        roster.reported(1)
        orders += list(roster.tick())
    assert orders == [(Order.KILL, 2)]
    assert problems(roster) == {1: None, 2: "hangs and is started again"}
    roster.ended(2, -signal.SIGKILL)
    assert problems(roster)[2] == "hung, starts in 1 s"
    ticks_until_start(roster, 2)
    roster.started(2)
    roster.reported(2)
    assert problems(roster)[2] is None


def test_a_report_ends_the_silence() -> None:
    roster = working(1)
    for _ in range(SILENT_TICKS_MAX):
        assert list(roster.tick()) == []
    roster.reported(1)
    for _ in range(SILENT_TICKS_MAX):
        assert list(roster.tick()) == []
    assert list(roster.tick()) == [(Order.KILL, 1)]


def test_a_member_that_never_reports_hangs_too() -> None:
    roster = Roster(1, SILENT_TICKS_MAX, SESSION_TICKS)
    list(roster.tick())
    roster.started(1)
    assert [order for _ in range(START_TICKS_MAX + 1) for order in roster.tick()] == [
        (Order.KILL, 1)
    ]


def test_a_start_may_take_longer_than_a_member_may_be_silent() -> None:
    """On a machine where all members begin at once; after its first report the member hangs."""
    roster = Roster(1, SILENT_TICKS_MAX, SESSION_TICKS)
    list(roster.tick())
    roster.started(1)
    assert [order for _ in range(START_TICKS_MAX) for order in roster.tick()] == []
    roster.reported(1)
    assert [order for _ in range(SILENT_TICKS_MAX + 1) for order in roster.tick()] == [
        (Order.KILL, 1)
    ]


def test_a_start_may_take_as_long_as_a_member_may_be_silent() -> None:
    roster = Roster(1, 2 * START_TICKS_MAX, SESSION_TICKS)
    list(roster.tick())
    roster.started(1)
    assert [order for _ in range(2 * START_TICKS_MAX) for order in roster.tick()] == []
    assert list(roster.tick()) == [(Order.KILL, 1)]


def test_silence_is_a_problem_before_it_counts_as_a_hang() -> None:
    roster = working(1)
    for _ in range(NOTED_SILENCE_TICKS):
        list(roster.tick())
    assert problems(roster) == {1: None}
    list(roster.tick())
    assert problems(roster) == {1: f"has not reported for {NOTED_SILENCE_TICKS + 1} s"}


@pytest.mark.parametrize(
    ("ended", "text"),
    [
        (1, "ended with status 1, starts in 1 s"),
        (-signal.SIGKILL, "ended by SIGKILL, starts in 1 s"),
        (-250, "ended by signal 250, starts in 1 s"),
    ],
)
def test_a_member_that_waits_is_a_problem_with_its_end(ended: int, text: str) -> None:
    roster = working(1)
    roster.ended(1, ended)
    assert problems(roster) == {1: text}


@pytest.mark.parametrize(
    ("ends", "status"),
    [
        ((0, 0), 0),
        ((0, -signal.SIGTERM), 0),  # it had only begun to start
        ((0, 1), 1),
        ((-signal.SIGKILL, 0), 1),
        ((0, 3), 3),
    ],
)
def test_a_stop_starts_nobody_and_ends_with_what_the_members_say(
    ends: tuple[int, int], status: int
) -> None:
    roster = working()
    roster.stop()
    for number, its_status in enumerate(ends, 1):
        roster.ended(number, its_status)
    assert [order for _ in range(WAIT_TICKS_MAX) for order in roster.tick()] == []
    assert (roster.running, roster.status) == ([], status)
