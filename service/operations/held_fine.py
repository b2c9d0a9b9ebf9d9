"""An open fine that is not exported now, and what holds it back whatever the profiles say."""

from dataclasses import dataclass

from ..core.ledger import Fine
from ..core.words import Status
from ..export.selection import Exclusion


@dataclass(frozen=True, slots=True)
class HeldFine:
    """An open fine that one profile (None: any) does not export now; `in_words` has the numbers."""

    fine: Fine
    profile: str | None
    reason: Exclusion
    in_words: str

    @property
    def place(self) -> tuple[str, ...]:
        return (*self.fine.facts.key, self.profile or "")


def without_profile(fine: Fine) -> HeldFine:
    """One that is held back by itself, and in no profile's reach."""
    reason = reason_of(fine)
    words = reason.replace("_", " ")
    if reason is Exclusion.REFUSED:
        words = f"refused by the bursar: {fine.refused_reason}"
    return HeldFine(fine, None, reason, words)


def reason_of(fine: Fine) -> Exclusion:
    """Without a profile, in the selection's order."""
    if fine.status is Status.IN_DISPUTE:
        return Exclusion.IN_DISPUTE
    if not (fine.facts.exportable or fine.released):
        return Exclusion.NOT_EXPORTABLE
    return Exclusion.REFUSED


def is_held_by_itself(fine: Fine) -> bool:
    """In dispute, not exportable or refused, whatever the profiles say."""
    return (
        fine.status is Status.IN_DISPUTE
        or fine.refused_reason is not None
        or not (fine.facts.exportable or fine.released)
    )
