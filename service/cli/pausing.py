"""The work of `bursar-bridge export pause` and `export resume`: keeps profiles from being run, and
lets them run again.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence

import typer

from ..database.session import Pool
from ..export.profiles.profile import Profile
from ..export.profiles.reading import read_profiles
from ..export.schedule import Pause, pauses, require_no_recovery
from ..operations import pauses as decisions
from ..runtime.problems import OperatorError
from ..settings import Settings
from .commands.options import DecisionOptions
from .decisions import Decision, decide_each, justification, show_results
from .errors import FAILED, complain, end_without, settings_or_exit, usage_error
from .problems import operator_errors
from .session import ask_database, profiles_named
from .tables import instant


def pause(
    decision: DecisionOptions, profile: list[str] | None, institution: str | None, every: bool
) -> None:
    """Pauses profiles of the profiles file: the service and `export run` do not run them until they
    are resumed.
    """
    _decide(decisions.pause, _configured, decision, profile, institution, every)


def resume(
    decision: DecisionOptions, profile: list[str] | None, institution: str | None, every: bool
) -> None:
    """Ends the pause of profiles, even of those that the profiles file has no longer."""
    _decide(decisions.resume, _paused, decision, profile, institution, every)


KeysOf = Callable[[Settings, Collection[str], str | None], list[decisions.Key]]


def _decide(
    decision: Decision[decisions.Key],
    keys_of: KeysOf,
    options: DecisionOptions,
    codes: Sequence[str] | None,
    institution: str | None,
    every: bool,
) -> None:
    if every == bool(codes):
        raise usage_error("name one of --profile, --all")
    why = justification(options.reason, options.operator)
    settings = settings_or_exit()
    with operator_errors():
        keys = keys_of(settings, codes or (), institution)
        results = asyncio.run(decide_each(settings, keys, decision, why))
    show_results(results, options.as_json)


def _configured(
    settings: Settings, codes: Collection[str], institution: str | None
) -> list[decisions.Key]:
    if settings.profiles_file is None:
        raise usage_error("BURSAR_PROFILES_FILE: is required to pause a profile")
    profiles = read_profiles(settings.profiles_file)
    chosen = profiles_named(profiles, codes) if codes else profiles.profiles
    keys = [(profile.institution_id, profile.code) for profile in chosen]
    return _of_institution(keys, institution) or end_without("profile")


def _paused(
    settings: Settings, codes: Collection[str], institution: str | None
) -> list[decisions.Key]:
    paused = _of_institution(asyncio.run(ask_database(settings, pauses)), institution)
    keys = [key for key in paused if not codes or key[1] in codes]
    for code in sorted(set(codes) - {code for _, code in keys}):
        complain(f"--profile: {code} is not paused")
    if not keys:
        if not codes:
            complain("no profile is paused")
        raise typer.Exit(FAILED)
    return keys


def _of_institution(keys: Iterable[decisions.Key], institution: str | None) -> list[decisions.Key]:
    return [key for key in keys if institution in (None, key[0])]


def pause_in_words(pause: Pause) -> str:
    """Returns a text that says since when a profile is paused, by whom and why."""
    since = instant(pause.paused_at)
    return f"{pause.profile} is paused since {since} by {pause.operator}: {pause.reason}"


async def runnable(pool: Pool, chosen: Sequence[Profile], *, named: bool) -> list[Profile]:
    """Returns those of the chosen profiles that are not paused; names the paused ones on standard
    error.

    Raises OperatorError if the operator has chosen the profiles by their codes (`named`) and one of
    them is paused. Raises ExportsAreOff if a recovery of the database has not ended yet.
    """
    async with pool.acquire() as connection:
        await require_no_recovery(connection)
        paused = await pauses(connection)
    profiles = []
    for profile in chosen:
        pause = paused.get((profile.institution_id, profile.code))
        if pause is None:
            profiles.append(profile)
        elif named:
            way = "`export resume` lets it go on, --even-if-paused runs it this once"
            raise OperatorError(f"{pause_in_words(pause)}; {way}")
        else:
            complain(f"{pause_in_words(pause)}; it is not run")
    return profiles
