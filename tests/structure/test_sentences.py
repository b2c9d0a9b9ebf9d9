"""The sentences that are put to readers are whole ones, and the same for the same seed."""

from __future__ import annotations

import sys

import pytest

from tests.structure.sentences import draw, main, paragraphs, split


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("A run begins here. It ends there, with its batch.", ["It ends there, with its batch."]),
        (
            "A fine is open until it is paid (see row 5). `poll` is another word for it.",
            ["A fine is open until it is paid (see row 5).", "`poll` is another word for it."],
        ),
        ("Codes such as e.g. Alma are five words.", ["Codes such as e.g. Alma are five words."]),
        ("too short.", []),
        ("a cell of a table that is no sentence.", []),
        ("A heading of more than four words", []),
    ],
)
def test_a_paragraph_is_split_at_the_ends_of_its_sentences(text: str, sentences: list[str]) -> None:
    assert list(split(text)) == sentences


def test_a_text_is_split_into_paragraphs_items_and_cells() -> None:
    text = "One\nline.\n\n- first [link](#here)\n- **Bold.** second\n\n| a | b |\n| c | d |\n"
    assert list(paragraphs(text)) == [
        ("", "One line."),
        ("", "first link"),
        ("", "second"),
        ("a", "b"),
        ("c", "d"),
    ]


def test_a_seed_draws_the_same_sentences_again_and_another_seed_others() -> None:
    assert draw(1, 25) == draw(1, 25)
    assert len({sentence.text for sentence in draw(1, 25)}) == 25
    assert draw(1, 25) != draw(2, 25)


def test_the_program_prints_what_a_seed_draws(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sentences", "--seed", "1"])
    main()
    printed = capsys.readouterr().out
    assert all(sentence.text in printed for sentence in draw(1, 25))
