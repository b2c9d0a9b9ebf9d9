"""How events come while a fault lasts: slowly, so that there are some for as long as it lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.support.load_events import Event

CHUNK = 5
CHUNK_SECONDS = 0.2
CHUNKS_MAX = 100


async def feed(
    publish: Callable[[list[Event]], Awaitable[None]], events: list[Event], over: asyncio.Event
) -> None:
    """Publishes the events in their order; what is left when the fault is `over`, at once."""
    chunk = max(CHUNK, len(events) // CHUNKS_MAX)
    for at in range(0, len(events), chunk):
        await publish(events[at : at + chunk])
        try:
            async with asyncio.timeout(CHUNK_SECONDS):
                await over.wait()
        except TimeoutError:
            continue
