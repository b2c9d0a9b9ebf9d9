"""Why a record waits or was rejected is said in words, for each code that a list can show."""

from __future__ import annotations

import pytest

from service.core.outcomes import rejected, rejected_in_words, unknown_line, waits_in_words
from service.core.words import Reason, Wait

# Rejected before anything of them is stored but their bytes.
UNREAD = {reason for reason in Reason if reason.startswith("invalid_")}


@pytest.mark.parametrize("wait", Wait)
def test_each_wait_has_words_and_its_code(wait: Wait) -> None:
    words = waits_in_words(wait)
    assert words.startswith("waits for ")
    assert words.endswith(f" ({wait})")


@pytest.mark.parametrize(
    ("wait", "words"),
    [
        (Wait.UNKNOWN_FINE, "the fine"),
        (Wait.NOT_EXPORTED, "the export of the fine"),
        (Wait.UNKNOWN_ORIGINAL, "the payment that it reverses"),
        (Wait.OVERPAID_HELD, "a person's decision about more than what is outstanding"),
        (Wait.UNALLOCATED, "a fine that it can pay, or a person's decision"),
        (
            Wait.INTERNAL_ERROR,
            "a person's decision: the program or the database failed on it",
        ),
        (
            Wait.INTAKE_STOPPED,
            "a person to resume its topic, which bad records have stopped",
        ),
    ],
)
def test_the_words_name_what_a_record_waits_for(wait: Wait, words: str) -> None:
    assert waits_in_words(wait) == f"waits for {words} ({wait})"


@pytest.mark.parametrize("reason", sorted(set(Reason) - UNREAD))
def test_each_reason_has_its_code_and_the_rule(reason: Reason) -> None:
    assert rejected_in_words(reason, None) == f"{reason}: {rejected(reason).detail}"


def test_of_an_id_that_no_line_can_have_the_words_say_so() -> None:
    words = rejected_in_words(Reason.UNKNOWN_LINE, "123")
    assert words == f"unknown_line: {unknown_line('123').detail}"
    assert words != rejected_in_words(Reason.UNKNOWN_LINE, None)
