"""What a fine prints: its codes, and its bytes before its numbers are known. Pure."""

from collections.abc import Iterator, Sequence

from ..core.ledger import Fine, Patron
from ..core.words import Status
from .batch import CreditRef, Sized, size_bytes_max
from .printing import line_of, patron_of
from .profiles.profile import Profile
from .selection import is_carried

# Longest possible numbers: a fine's size is known before its numbers are.
_LONGEST_ID = str(2**64 - 1)
_LONGEST_REF = CreditRef(_LONGEST_ID, "X" * 100)


def sized(profile: Profile, patron: Patron | None, due: Sequence[Fine]) -> tuple[Sized[Fine], ...]:
    """A patron's fines that are to be exported, with the bytes that each takes at most."""
    if not due or patron is None:
        return ()
    lines = [line_of(fine, _LONGEST_ID, Status.CLOSED, _LONGEST_REF) for fine in due]
    printed = patron_of(profile, patron, lines)
    return tuple(
        Sized(printed.patron_id, fine, size_bytes_max(printed, line))
        for fine, line in zip(due, lines, strict=True)
    )


def unsound_codes(profile: Profile, patron: Patron | None, fine: Fine) -> list[str]:
    """The names of the codes that would not be printed as they are."""
    named = _codes(profile, patron, fine)
    return list(dict.fromkeys(name for name, code in named if not is_carried(code)))


def _codes(profile: Profile, patron: Patron | None, fine: Fine) -> Iterator[tuple[str, str]]:
    """What readers look things up by; any other text may be printed with blanks in it."""
    yield "type", fine.facts.type
    if (owner := fine.facts.owner) is not None:
        yield from (("library_id", owner.library_id), ("library_code", owner.library_code))
    if patron is not None:
        matching = (value for kind, value in patron.identifiers if kind == profile.match)
        yield from ((f"identifier of type {profile.match}", value) for value in matching)
