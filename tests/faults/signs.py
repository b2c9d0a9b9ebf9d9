"""What an operator sees of an instance: health port, log, and the command `check`."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence

import aiohttp
from typer.testing import Result

from tests.faults.stage import Stage
from tests.support.commands import Commands

SECONDS_MAX = 60
PAGE_SECONDS_MAX = 10


async def total_of(signs: Sequence[Signs], metric: str) -> float:
    """The sum of a metric over several instances."""
    return sum([await each.metric(metric) for each in signs])


async def until_more(stage: Stage, signs: Sequence[Signs], metric: str, more_than: float) -> None:
    """A metric of several instances together is above a value."""

    async def is_above() -> bool:
        return await total_of(signs, metric) > more_than

    await stage.until(is_above, SECONDS_MAX)


class Signs:
    """The signs of one instance of a stage, whose log begins with its latest start."""

    def __init__(self, stage: Stage, name: str) -> None:
        self._stage = stage
        self._name = name

    async def until_not_ready(self, check: str) -> str:
        """Waits until `/readyz` answers 503 and names the check; returns what it says of it."""
        problems: dict[str, str | None] = {}

        async def names_it() -> bool:
            status, text = await self.page("/readyz")
            checks = json.loads(text)["checks"]
            problems.update({each: checks[each]["problem"] for each in checks})
            return status == 503 and problems.get(check) is not None

        await self._stage.until(names_it, SECONDS_MAX)
        return str(problems[check])

    async def until_ready(self) -> None:
        """Waits until `/readyz` answers 200."""

        async def is_ready() -> bool:
            return (await self.page("/readyz"))[0] == 200

        await self._stage.until(is_ready, SECONDS_MAX)

    async def until_logged(self, event: str, **fields: object) -> dict[str, object]:
        """Waits until the log has an event with these fields; returns its first line."""

        async def is_logged() -> bool:
            return bool(self.logged(event, **fields))

        await self._stage.until(is_logged, SECONDS_MAX)
        return self.logged(event, **fields)[0]

    def logged(self, event: str, **fields: object) -> list[dict[str, object]]:
        """The lines of the log with this event and these fields."""
        return [
            entry
            for entry in self._stage.site.log(self._name)
            if entry["event"] == event and fields.items() <= entry.items()
        ]

    async def metric(self, name: str) -> float:
        """The sum of a metric over its labels; 0 if it has no value."""
        _, text = await self.page("/metrics")
        values = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        return sum(map(float, values))

    async def checked(self, url: str | None = None) -> str:
        """What `bursar-bridge check` prints, whatever it finds; `url` leads to the database."""
        result = await self.called("check", url=url)
        return result.stdout + result.stderr

    async def called(self, *arguments: str, url: str | None = None) -> Result:
        """The result of a command that an operator calls beside the instance."""
        site = self._stage.site
        settings = {k: v for k, v in site.environment.items() if k.startswith("BURSAR_")}
        return await Commands(url or site.database_url, site.servers, **settings).call(*arguments)

    async def page(self, path: str) -> tuple[int, str]:
        """A page of the health port of the process that runs now. Raises OSError."""
        started = self.logged("ops_listening")
        address = f"http://127.0.0.1:{started[-1]['port']}{path}"
        limit = aiohttp.ClientTimeout(total=PAGE_SECONDS_MAX)
        try:
            async with (
                aiohttp.ClientSession(timeout=limit) as session,
                session.get(address) as response,
            ):
                return response.status, await response.text()
        except aiohttp.ClientConnectionError as problem:
            raise ConnectionError(str(problem)) from problem

    async def for_seconds(self, seconds: int) -> None:
        """Lets time pass while a fault lasts; what runs must be alive all the time."""
        until = time.monotonic() + seconds

        async def has_passed() -> bool:
            return time.monotonic() >= until

        await self._stage.until(has_passed, 2 * seconds + SECONDS_MAX)
