"""What `parked` and `rejected` have in common: decisions about what was found, one by one."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..apply.applier import Applier
from ..apply.operator_actions import DecisionResult, Justification
from ..settings import Settings
from ..wiring import COMMAND, new_applier
from . import progress
from .errors import operator_errors, settings_or_exit
from .shown import confirm, misuse, refuse_older_database, require, show_told, writing

Found = TypeVar("Found")
Decision = Callable[[Applier, Found, Justification], Awaitable[DecisionResult]]


@dataclass(frozen=True, slots=True)
class Asked:
    """`what` is asked before several are decided; `which` says how to name one of several."""

    what: str
    which: str
    why: Justification
    every: bool
    yes: bool
    as_json: bool


def decide(
    asked: Asked,
    find: Callable[[Settings], Coroutine[None, None, list[Found]]],
    decision: Decision[Found],
) -> None:
    """Each in a commit of its own; ends the command with 1 if one was not done."""
    settings = settings_or_exit()
    with operator_errors():
        asyncio.run(refuse_older_database(settings))
        found = asyncio.run(find(settings))
        if len(found) > 1 and not asked.every:
            raise misuse(asked.which)
        require(found)
        confirm(asked.what, len(found), every=asked.every, yes=asked.yes)
        done = asyncio.run(_decided(settings, found, decision, asked.why))
    show_told(done, asked.as_json)


async def _decided(
    settings: Settings, found: Sequence[Found], decision: Decision[Found], why: Justification
) -> list[DecisionResult]:
    async with writing(settings) as guard:
        applier = new_applier(settings, guard.writer(COMMAND), lambda: None)
        with progress.steps() as bars:
            each = bars.track(found, description="deciding")
            return [await decision(applier, one, why) for one in each]
