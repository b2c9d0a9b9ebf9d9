"""`bursar-bridge export pause` and `resume`: profiles that are not run for a while."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import typer

from ..apply.applier import Applier
from ..apply.operator_actions import DecisionResult, Justification
from ..database.session import Pool
from ..export.profiles.profile import Profile
from ..export.profiles.reading import read_profiles
from ..export.schedule import Pause, pauses
from ..operations import pauses as decisions
from ..runtime.problems import OperatorError
from ..settings import Settings
from ..wiring import COMMAND, new_applier
from .errors import FAILED, complain, operator_errors, settings_or_exit
from .shown import (
    database,
    misuse,
    require,
    said,
    show_told,
    writing,
)
from .tables import instant

Decision = Callable[[Applier, decisions.Key, Justification], Awaitable[DecisionResult]]


def pause(
    reason: str,
    profile: list[str] | None,
    institution: str | None,
    every: bool,
    operator: str | None,
    as_json: bool,
) -> None:
    _require_one(profile, every=every)
    why = said(reason, operator)
    settings = settings_or_exit()
    with operator_errors():
        keys = _configured(settings, profile, institution)
        require(keys)
        done = asyncio.run(_decided(settings, keys, decisions.pause, why))
    show_told(done, as_json)


def resume(
    reason: str,
    profile: list[str] | None,
    institution: str | None,
    every: bool,
    operator: str | None,
    as_json: bool,
) -> None:
    _require_one(profile, every=every)
    why = said(reason, operator)
    settings = settings_or_exit()
    with operator_errors():
        paused = asyncio.run(paused_now(settings))
        keys = [
            key
            for key in paused
            if institution in (None, key[0]) and (every or key[1] in (profile or ()))
        ]
        for code in sorted(set(profile or ()) - {code for _, code in keys}):
            complain(f"--profile: {code} is not paused")
        if not keys:
            if every:
                complain("no profile is paused")
            raise typer.Exit(FAILED)
        done = asyncio.run(_decided(settings, keys, decisions.resume, why))
    show_told(done, as_json)


def _require_one(profile: list[str] | None, *, every: bool) -> None:
    if every == bool(profile):
        raise misuse("name one of --profile, --all")


def _configured(
    settings: Settings, codes: list[str] | None, institution: str | None
) -> list[decisions.Key]:
    """The profiles of the file that are meant, all of them where none is named."""
    if settings.profiles_file is None:
        raise misuse("BURSAR_PROFILES_FILE: is required to pause a profile")
    known = read_profiles(settings.profiles_file).profiles
    unknown = sorted(set(codes or ()) - {profile.code for profile in known})
    if unknown:
        raise misuse(f"--profile: must be one of {', '.join(sorted(p.code for p in known))}")
    return [
        (profile.institution_id, profile.code)
        for profile in known
        if institution in (None, profile.institution_id) and (not codes or profile.code in codes)
    ]


async def _decided(
    settings: Settings, keys: Sequence[decisions.Key], decide: Decision, why: Justification
) -> list[DecisionResult]:
    async with writing(settings) as guard:
        applier = new_applier(settings, guard.writer(COMMAND), lambda: None)
        return [await decide(applier, key, why) for key in keys]


async def paused_now(settings: Settings) -> dict[tuple[str, str], Pause]:
    async with database(settings) as pool, pool.acquire() as connection:
        return await pauses(connection)


def in_words(pause: Pause) -> str:
    """Since when a profile is paused, by whom and why."""
    since = instant(pause.paused_at)
    return f"{pause.profile} is paused since {since} by {pause.operator}: {pause.reason}"


async def runnable(pool: Pool, chosen: Sequence[Profile], *, named: bool) -> list[Profile]:
    """Those of the chosen profiles that are not paused; the others are told.

    Raises OperatorError where profiles were named and one of them is paused.
    """
    async with pool.acquire() as connection:
        paused = await pauses(connection)
    found = []
    for profile in chosen:
        pause = paused.get((profile.institution_id, profile.code))
        if pause is None:
            found.append(profile)
        elif named:
            way = "`export resume` lets it go on, --even-if-paused runs it this once"
            raise OperatorError(f"{in_words(pause)}; {way}")
        else:
            complain(f"{in_words(pause)}; it is not run")
    return found
