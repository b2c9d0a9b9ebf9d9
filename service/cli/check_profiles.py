"""What `bursar-bridge check` says of the profiles by themselves."""

from collections.abc import Iterator

from ..export.profiles.profile import Profiles
from ..export.profiles.reading import InvalidProfile, overlaps, read_profiles, warnings
from ..settings import Settings
from .check import Line, Verdict


def findings(settings: Settings) -> tuple[Profiles | None, list[Line]]:
    if settings.profiles_file is None:
        text = "BURSAR_PROFILES_FILE is not set: nothing is exported"
        return None, [Line("profiles", Verdict.NOTE, text)]
    try:
        profiles = read_profiles(settings.profiles_file)
    except InvalidProfile as problem:
        return None, [Line("profiles", Verdict.FAULT, text) for text in str(problem).splitlines()]
    codes = ", ".join(profile.code for profile in profiles.profiles)
    read = Line("profiles", Verdict.OK, f"{len(profiles.profiles)} read: {codes}")
    return profiles, [read, *_doubts(profiles)]


def _doubts(profiles: Profiles) -> Iterator[Line]:
    for pair in overlaps(profiles):
        types = ", ".join(sorted(pair.types))
        text = f"{pair.first} and {pair.second} can claim the same fines: {types}"
        yield Line("profiles", Verdict.NOTE, text)
    for warning in warnings(profiles):
        yield Line("profiles", Verdict.NOTE, f"{warning.subject}: {warning.concern}")
