"""Snapshots of patrons as the rules see them. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from ..core.ledger import Patron
from ..core.workspace import PatronKey

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def without_future(
    patrons: Mapping[PatronKey, Patron], recorded_at: datetime
) -> Mapping[PatronKey, Patron]:
    """Makes snapshots of an instant that is still to come older than any record of their patron.

    Older releases stored a producer's instant as it came: no record would ever have been newer than
    one of the year 9999. The statement `write_patron` follows the same rule.
    """
    return {
        key: replace(patron, seen_at=_LONG_AGO) if patron.seen_at > recorded_at else patron
        for key, patron in patrons.items()
    }
