"""Sentences of a list, and texts that would turn the direction of writing."""

from __future__ import annotations

import json

import pytest
from rich.cells import cell_len

from service.cli.lists import Listing, Row, identifier, sentence
from service.cli.tables import show, show_card


def test_sentences_beside_each_other_are_both_read_to_their_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"TTY_COMPATIBLE": "1", "TERM": "dumb", "COLUMNS": "80"}.items():
        monkeypatch.setenv(name, value)
    listing = Listing("nothing", (identifier("id"), sentence("first"), sentence("second")))
    words = {name: [f"{name}{n}" for n in range(30)] for name in ("a", "b")}
    row: Row = {"id": "X-1", "first": " ".join(words["a"]), "second": " ".join(words["b"])}
    show(listing, [row], False)
    printed = capsys.readouterr().out.splitlines()
    assert max(map(cell_len, printed)) <= 80
    text = " ".join(printed).split()
    for name in words:
        assert [word for word in text if word in words[name]] == words[name]


def test_what_turns_the_direction_of_writing_is_escaped_for_programs_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    row: Row = {"text": "a\u202eb\u200fc\x85d\x7f\n"}
    show_card(row, True)
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert json.loads(printed) == row
