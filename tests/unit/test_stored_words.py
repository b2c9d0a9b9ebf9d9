"""Words that databases keep and that commands take: a later release must understand them."""

from __future__ import annotations

from enum import StrEnum

import pytest

from service.core.words import KnownLines, RejectedState


@pytest.mark.parametrize(
    ("sort", "words"),
    [
        (RejectedState, ("open", "replayed", "discarded")),
        (KnownLines, ("refuse", "skip", "pay")),
    ],
)
def test_the_words_stay(sort: type[StrEnum], words: tuple[str, ...]) -> None:
    assert tuple(sort) == words
