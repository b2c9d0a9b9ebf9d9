"""Waiting for a condition that processes, a broker or a database bring about."""

import asyncio
from collections.abc import Callable
from inspect import isawaitable

SECONDS_MAX = 60
POLL_SECONDS = 0.02


async def until(condition: Callable[[], object], seconds_max: float = SECONDS_MAX) -> None:
    """Returns once the condition holds, which may be a coroutine function.

    Raises TimeoutError if it does not hold within `seconds_max`.
    """
    async with asyncio.timeout(seconds_max):
        while True:
            holds = condition()
            if await holds if isawaitable(holds) else holds:
                return
            await asyncio.sleep(POLL_SECONDS)
