"""Corrects stored data of patrons (snapshots of name and identifiers) whose timestamp lies in the
future. Pure.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from ..core.ledger import Patron
from ..core.workspace import PatronKey

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def without_future(
    patrons: Mapping[PatronKey, Patron], recorded_at: datetime
) -> Mapping[PatronKey, Patron]:
    """Gives snapshots whose instant is later than `recorded_at` the earliest possible instant, so
    that the next record of the patron replaces them.

    Older releases stored the instant that a producer sent without checking it; after an instant in
    the year 9999, no later record could have updated the patron. The SQL statement `write_patron`
    follows the same rule.
    """
    return {
        key: replace(patron, seen_at=_LONG_AGO) if patron.seen_at > recorded_at else patron
        for key, patron in patrons.items()
    }
