"""What an operator is told while a fault lasts: by readiness, by the log, and by `check`."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tests.faults.stage import Stage
from tests.support.programs import start_program

NAMED_SECONDS_MAX = 90
ADVISORY = frozenset({"topic_settings", "stopped_topics"})  # these keep no instance from its work


async def problems(stage: Stage, name: str) -> Mapping[str, str]:
    """The text of each check that fails at an instance."""
    _, text = await stage.site.page("/readyz", name)
    checks = json.loads(text)["checks"]
    return {check: each["problem"] for check, each in checks.items() if each["problem"]}


async def until_named(stage: Stage, check: str, words: str, *, by_all: bool = True) -> None:
    """Waits until the check fails with these words, at each instance or at one of them, and the log
    of one has them too.
    """
    enough = all if by_all else any

    async def is_named() -> bool:
        texts = [(await problems(stage, name)).get(check, "") for name in stage.members]
        return enough(words in text for text in texts) and _is_logged(stage, check, words)

    await stage.until(is_named, NAMED_SECONDS_MAX)


async def until_well(stage: Stage) -> None:
    """Waits until each instance is ready again."""

    async def is_well() -> bool:
        failing = [await problems(stage, name) for name in stage.members]
        return all(not checks.keys() - ADVISORY for checks in failing)

    await stage.until(is_well, NAMED_SECONDS_MAX)


async def until_logged(stage: Stage, event: str) -> None:
    """Waits until an instance has written such a line."""

    async def is_logged() -> bool:
        logs = [stage.site.log(name) for name in stage.members]
        return any(line["event"] == event for log in logs for line in log)

    await stage.until(is_logged, NAMED_SECONDS_MAX)


async def checked(stage: Stage, settings: Mapping[str, str]) -> tuple[int, str]:
    """The exit code of `check` with an instance's settings, and what it prints."""
    environment = {**stage.site.environment, **settings}
    program = await start_program("check", environment=environment)
    out, errors = await program.communicate()
    assert program.returncode is not None
    return program.returncode, " ".join(f"{out.decode()}{errors.decode()}".split())


def _is_logged(stage: Stage, check: str, words: str) -> bool:
    return any(
        line.get("check") == check and words in str(line.get("problem"))
        for name in stage.members
        for line in stage.site.log(name)
    )
