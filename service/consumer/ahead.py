"""Takes the next polls from Kafka and parses them while the current poll is written to the
database.

While a poll is applied, the process waits for PostgreSQL for about a third of the time. If many
records are waiting in Kafka, the process uses the time in which a poll waits for PostgreSQL to
parse the next two polls; two, because a single one is parsed before the commit ends. The parsed
polls are kept in memory only. If the position of the consumer changes, for example after a
rebalance, the polls that were taken ahead are dropped, and their records are read again from the
offsets in the database.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Generic, TypeVar

AHEAD_MAX = 2

R = TypeVar("R")


class Ahead(Generic[R]):
    """Polls that are taken ahead of time: one is taken after the other, and at most AHEAD_MAX are
    running or finished and not yet used.
    """

    def __init__(self) -> None:
        self._tasks: deque[asyncio.Task[R]] = deque()

    def go_on(
        self,
        follows: bool,
        work: Callable[[], Coroutine[object, object, R]],
        is_followed: Callable[[R], bool],
    ) -> None:
        """Starts `work`, which takes one poll, if more records are expected, and starts it again
        after each poll as long as more are expected.

        `follows` says whether more records are expected after the poll that is being applied. If a
        later poll was taken ahead already, `is_followed` is asked about that poll instead.
        """
        if self._tasks:
            latest = self._tasks[-1]
            if not latest.done() or latest.cancelled() or latest.exception() is not None:
                return  # it goes on by itself, or is taken first, and ends what was begun
            follows = is_followed(latest.result())
        self._begin(follows, work, is_followed)

    def take(self) -> "asyncio.Task[R] | None":
        """Removes and returns the oldest task that was started ahead, to be awaited; None if there
        is none.
        """
        return self._tasks.popleft() if self._tasks else None

    def take_ended(self, fits: Callable[[R], bool]) -> R | None:
        """Returns the result of what was begun first, and forgets it, if it has ended well and
        `fits` says so of it; None otherwise.
        """
        if not self._tasks or not self._tasks[0].done():
            return None
        task = self._tasks[0]
        if task.cancelled() or task.exception() is not None or not fits(task.result()):
            return None
        return self._tasks.popleft().result()

    async def drop(self) -> bool:
        """Cancels all tasks that were started ahead and drops their polls; returns whether there
        were any.
        """
        tasks = list(self._tasks)
        self._tasks.clear()
        for task in tasks:
            task.cancel()  # before it resumes, so that it begins nothing more
        await asyncio.gather(*tasks, return_exceptions=True)
        return bool(tasks)

    def _begin(
        self,
        follows: bool,
        work: Callable[[], Coroutine[object, object, R]],
        is_followed: Callable[[R], bool],
    ) -> None:
        if follows and len(self._tasks) < AHEAD_MAX:
            self._tasks.append(asyncio.ensure_future(self._done(work, is_followed)))

    async def _done(
        self, work: Callable[[], Coroutine[object, object, R]], is_followed: Callable[[R], bool]
    ) -> R:
        result = await work()
        self._begin(is_followed(result), work, is_followed)
        return result
