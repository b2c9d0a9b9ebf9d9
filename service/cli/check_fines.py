"""What `bursar-bridge check` says of open fines: paused profiles, and fines that nothing takes."""

from ..core.words import CREDIT_TYPE
from ..export.profiles.profile import Profiles
from ..export.reasons import owner_in_words
from ..operations.unclaimed import OpenGroup, institutions, open_groups
from ..settings import Settings
from .check import Line, Verdict
from .pausing import in_words, paused_now
from .shown import database

GROUPS_MAX = 20


async def paused(settings: Settings, profiles: Profiles) -> list[Line]:
    """Paused profiles; a pause of a profile that is not configured any more is told as well."""
    known = {(profile.institution_id, profile.code) for profile in profiles.profiles}
    return [
        Line(
            "profiles",
            Verdict.NOTE,
            in_words(pause) + ("" if key in known else "; no such profile is configured"),
        )
        for key, pause in (await paused_now(settings)).items()
    ]


async def open_fines(settings: Settings, profiles: Profiles) -> list[Line]:
    """How many open fines each profile takes, and which ones no profile takes."""
    async with database(settings) as pool, pool.acquire() as connection:
        groups = [
            group
            for institution_id in await institutions(connection)
            for group in await open_groups(connection, institution_id)
        ]
    lines = []
    for profile in profiles.profiles:
        own = [one for one in groups if one.group.institution_id == profile.institution_id]
        taken = sum(one.fines for one in own if profile.includes(one.group))
        text = f"{profile.code}: takes {taken} of {_fines(sum(one.fines for one in own))}"
        lines.append(Line("fines", Verdict.OK, text))
    lost = [one for one in groups if not profiles.including(one.group)]
    lines += [Line("fines", Verdict.NOTE, _unclaimed(one, profiles)) for one in lost[:GROUPS_MAX]]
    if more := lost[GROUPS_MAX:]:
        fines = _fines(sum(one.fines for one in more))
        text = f"no profile takes {fines} of {len(more)} further groups: `held list`"
        lines.append(Line("fines", Verdict.NOTE, text))
    return lines


def _unclaimed(found: OpenGroup, profiles: Profiles) -> str:
    """In numbers and words: how many, which, and how many of them are held back anyway."""
    group = found.group
    kind = "credits" if group.type == CREDIT_TYPE else f"type {group.type}"
    patron_group = f"user group {group.user_group or 'unknown'}"
    which = f"{kind}, {group.currency}, {owner_in_words(group.library_code)}, {patron_group}"
    held = f"; {found.held} in dispute, not exportable or refused" if found.held else ""
    nobody = "" if profiles.of_institution(group.institution_id) else " (it has no profile)"
    return (
        f"institution {group.institution_id}{nobody}: no profile takes {_fines(found.fines)}: "
        f"{which}{held}"
    )


def _fines(count: int) -> str:
    return f"{count} open {'fine' if count == 1 else 'fines'}"
