"""What is applied in parts: one time limit is spent once, and each item has its last try."""

from collections.abc import Callable

import asyncpg

from service.apply.poll import SHORT_LOCK_MS, SHORT_STATEMENT_MS, Part, Parts, Patience

LOCK = asyncpg.LockNotAvailableError()
SLOW = asyncpg.QueryCanceledError()
WHOLE = Patience()
SHORT = Patience(statement_ms=SHORT_STATEMENT_MS)
Fails = Callable[[Part[int]], Exception | None]


def tried(
    items: range, fails: Fails, *, is_hurried: bool = False
) -> tuple[list[Part[int]], list[int]]:
    """All parts in the order in which they were tried, and the items that remained."""
    parts: Parts[int] = Parts(is_hurried=is_hurried)
    parts.put(items)
    tries: list[Part[int]] = []
    left: list[int] = []
    while parts:
        tries.append(part := parts.take())
        if (error := fails(part)) is not None:
            parts.hurry(error)
            if not parts.put_again(part, error):
                left += part.items
    return tries, left


def always(error: Exception) -> Fails:
    return lambda _: error


def test_only_the_first_try_waits_for_a_lock_as_long_as_the_session_does() -> None:
    tries, left = tried(range(2_000), lambda part: LOCK if 7 in part.items else None)
    assert left == [7]
    assert [part.patience for part in tries[:1]] == [WHOLE]
    assert {part.patience for part in tries[1:]} == {Patience(lock_ms=SHORT_LOCK_MS)}
    assert sum(7 in part.items for part in tries) == 12
    applied = [item for part in tries if 7 not in part.items for item in part.items]
    assert sorted([*applied, 7]) == list(range(2_000))


def test_where_a_lock_is_known_to_be_held_not_even_the_first_try_waits_for_it() -> None:
    tries, _ = tried(range(8), lambda part: LOCK if 3 in part.items else None, is_hurried=True)
    assert {part.patience.lock_ms for part in tries} == {SHORT_LOCK_MS}


def test_a_single_item_has_all_the_time_of_a_statement_before_it_is_left() -> None:
    tries, left = tried(range(8), lambda part: SLOW if 3 in part.items else None)
    assert left == [3]
    assert [part.patience for part in tries if 3 in part.items] == [
        WHOLE,
        SHORT,
        SHORT,
        SHORT,
        WHOLE,
    ]


def test_an_item_that_needs_more_than_the_short_time_is_applied() -> None:
    """It is neither left nor lost: its last try goes through."""

    def fails(part: Part[int]) -> Exception | None:
        is_late = len(part.items) == 8 or (3 in part.items and part.patience == SHORT)
        return SLOW if is_late else None

    tries, left = tried(range(8), fails)
    assert left == []
    assert [part.items for part in tries if part.patience == WHOLE][1:] == [(3,)]


def test_an_item_alone_is_tried_once() -> None:
    for error in (LOCK, SLOW):
        tries, left = tried(range(1), always(error))
        assert (len(tries), left) == (1, [0])
