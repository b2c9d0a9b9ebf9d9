"""Words of profiles that no fine and no patron has had so far: as a rule a slip of the pen."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ..database.session import Connection, statements
from ..export.profiles.profile import Profile, Profiles

SQL = statements("operators")
# As a rule all words of the profiles are among so many fines and patrons, and the rest is not read.
SAMPLE_ROWS = 10_000


Seen = Mapping[tuple[str, str], set[str]]


class Unmet(NamedTuple):
    """`option` of the profile with that code names `word`, which nothing has had so far."""

    profile: str
    option: str
    word: str


async def unmet(connection: Connection, profiles: Profiles) -> list[Unmet]:
    """In the order of the file; of an institution without any fine nothing can be said."""
    if not _missing(profiles, await _words_seen(connection, SAMPLE_ROWS)):
        return []
    seen = await _words_seen(connection, None)
    with_fines = {institution_id for institution_id, option in seen if option == "fine_types"}
    return [
        missing
        for institution_id, missing in _missing(profiles, seen)
        if institution_id in with_fines
    ]


async def _words_seen(connection: Connection, rows_max: int | None) -> Seen:
    """By institution and option; of at most so many fines and patrons, None: of all."""
    seen: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for institution_id, option, word in await connection.fetch(SQL["known_words"], rows_max):
        seen[institution_id, option].add(word)
    return seen


def _missing(profiles: Profiles, seen: Seen) -> list[tuple[str, Unmet]]:
    """With the profile's institution."""
    return [
        (profile.institution_id, Unmet(profile.code, option, word))
        for profile in profiles.profiles
        for option, words in _words(profile)
        for word in sorted(set(words) - seen.get((profile.institution_id, option), set()))
    ]


def _words(profile: Profile) -> Iterator[tuple[str, Iterable[str]]]:
    yield "currency", (profile.currency,)
    yield "fine_types", profile.fine_types
    yield "user_groups", profile.user_groups or ()
    yield "owners", profile.owners or ()
    yield "match", (profile.match,)
