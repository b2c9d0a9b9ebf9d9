"""Words that databases keep and that commands take: a later release must understand them."""

from __future__ import annotations

from enum import StrEnum

import pytest

from service.core.adopted import AdoptedState
from service.core.shares import LumpRule
from service.core.words import (
    BatchState,
    ChangeKind,
    Considered,
    ItemState,
    KnownLines,
    PaymentKind,
    RejectedState,
    ResponseOutcome,
    Status,
)


@pytest.mark.parametrize(
    ("sort", "words"),
    [
        (Status, ("Active", "In dispute", "Closed", "Transferred")),
        (Considered, ("active", "closed")),
        (ItemState, ("applied", "noted", "parked", "rejected")),
        (
            BatchState,
            ("sealed", "quarantined", "published", "accepted", "partly_refused", "refused"),
        ),
        (AdoptedState, ("waiting", "taken", "dropped")),
        (LumpRule, ("hold", "oldest_first")),
        (ChangeKind, ("paid", "waived", "adjusted", "cancelled", "disputed", "restored")),
        (PaymentKind, ("payment", "reversal", "write_off", "status")),
        (ResponseOutcome, ("accepted", "refused", "partial")),
        (RejectedState, ("open", "replayed", "discarded")),
        (KnownLines, ("refuse", "skip", "pay")),
    ],
)
def test_the_words_stay(sort: type[StrEnum], words: tuple[str, ...]) -> None:
    assert tuple(sort) == words
