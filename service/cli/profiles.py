"""The profiles that a command is about, from the file that the settings name."""

from collections.abc import Collection

from ..export.profiles.profile import Profile, Profiles
from ..export.profiles.reading import read_profiles
from ..runtime.problems import OperatorError
from ..settings import Settings
from .errors import usage_error


def required_profiles(settings: Settings, purpose: str) -> Profiles:
    """Reads the profiles. Raises OperatorError, with the `purpose`, if no file is configured."""
    if settings.profiles_file is None:
        raise OperatorError(f"BURSAR_PROFILES_FILE: is required to {purpose}")
    return read_profiles(settings.profiles_file)


def profiles_named(profiles: Profiles, codes: Collection[str]) -> list[Profile]:
    """The profiles of these codes, in the order of the file.

    Ends the command with 2, and names those that there are, if one of the codes is unknown.
    """
    known = [profile.code for profile in profiles.profiles]
    if not set(codes) <= set(known):
        raise usage_error(f"--profile: must be one of {', '.join(sorted(known)) or 'none'}")
    return [profile for profile in profiles.profiles if profile.code in codes]
