"""Finds words in the export profiles, such as a type of fines, that no fine and no patron has had
so far: mostly typing errors.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ..database.session import Connection, statements
from ..export.profiles.profile import Profile, Profiles

SQL = statements("operators")
# Usually all words of the profiles are among so many fines and patrons; then no more are read.
SAMPLE_ROWS = 10_000

UsedWords = Mapping[tuple[str, str], set[str]]  # by institution and option


class UnusedWord(NamedTuple):
    """The profile with the code `profile` has the value `word` in its `option`, but no fine and no
    patron has had this value so far.
    """

    profile: str
    option: str
    word: str


async def unused_words(connection: Connection, profiles: Profiles) -> list[UnusedWord]:
    """Returns the words of profiles that no fine or patron has had so far, such as a type of fines,
    in the order of the profiles' file. The profiles of an institution that has no fine yet are left
    out.
    """
    if not _missing(profiles, await _used_words(connection, SAMPLE_ROWS)):
        return []
    used = await _used_words(connection, None)
    with_fines = {institution_id for institution_id, option in used if option == "fine_types"}
    missing = _missing(profiles, used)
    return [word for institution_id, word in missing if institution_id in with_fines]


async def _used_words(connection: Connection, rows_max: int | None) -> UsedWords:
    """The words of at most so many fines and patrons, or of all."""
    used: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for institution_id, option, word in await connection.fetch(SQL["known_words"], rows_max):
        used[institution_id, option].add(word)
    return used


def _missing(profiles: Profiles, used: UsedWords) -> list[tuple[str, UnusedWord]]:
    """The words that are not used, with the profile's institution."""
    return [
        (profile.institution_id, UnusedWord(profile.code, option, word))
        for profile in profiles.profiles
        for option, words in _words(profile)
        for word in sorted(set(words) - used.get((profile.institution_id, option), set()))
    ]


def _words(profile: Profile) -> Iterator[tuple[str, Iterable[str]]]:
    yield "currency", (profile.currency,)
    yield "fine_types", profile.fine_types
    yield "user_groups", profile.user_groups or ()
    yield "owners", profile.owners or ()
    yield "match", (profile.match,)
