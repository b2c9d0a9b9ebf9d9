"""The credits of generated histories: what they name, and which of them wait for their fine."""

from service.core.terms import Terms
from service.core.words import Mode
from tests.oracle.exporting import waits_for_fine
from tests.oracle.tables import Tables

# The fines that the credit may refer to: none, fines of its patron, a fine of another patron.
NUMBERS = (None, 0, 1, 5, 1, 5, 0, 2)


def fine_of_credit(prefix: str, identity: int) -> str | None:
    """The fine that the credit names."""
    number = NUMBERS[identity]
    return None if number is None else f"{prefix}F{number}"


def without_waiting(tables: Tables, institution: str, chosen: list[str], terms: Terms) -> list[str]:
    """The fines that a batch takes of those that were chosen; credits come last, as in its job."""
    only, batch = terms.mode is Mode.EXPORT_ONLY, set(chosen)
    leaving = [
        name for name in chosen if not waits_for_fine(tables, (institution, name), only, batch)
    ]
    return sorted(leaving, key=lambda name: tables.fines[institution, name]["sign"] < 0)
