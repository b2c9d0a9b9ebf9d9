"""Words of profiles that no fine and no patron has had so far: as a rule a slip of the pen."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from service.database.pool import Connection
from service.database.statements import statements
from service.export.profile import Profile, Profiles

SQL = statements("operators")


class Unmet(NamedTuple):
    """`option` of the profile with that code names `word`, which nothing has had so far."""

    profile: str
    option: str
    word: str


async def unmet(connection: Connection, profiles: Profiles) -> list[Unmet]:
    """In the order of the file; of an institution without any fine nothing can be said."""
    seen: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for institution_id, option, word in await connection.fetch(SQL["words_seen"]):
        seen[institution_id, option].add(word)
    return [
        Unmet(profile.code, option, word)
        for profile in profiles.profiles
        if seen[profile.institution_id, "fine_types"]
        for option, words in _words(profile)
        for word in sorted(set(words) - seen[profile.institution_id, option])
    ]


def _words(profile: Profile) -> Iterator[tuple[str, Iterable[str]]]:
    yield "currency", (profile.currency,)
    yield "fine_types", profile.fine_types
    yield "user_groups", profile.user_groups or ()
    yield "owners", profile.owners or ()
    yield "match", (profile.match,)
