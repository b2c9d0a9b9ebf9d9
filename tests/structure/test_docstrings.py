"""Public modules, classes and functions say in a whole sentence what they are for.

`python -m tests.structure.docstrings PACKAGE...` lists what is missing.
"""

from __future__ import annotations

import pytest

from tests.structure.docstrings import DOCUMENTED, Docstring, docstrings


def test_every_public_thing_has_a_docstring_that_begins_with_a_sentence() -> None:
    documented = [docstring for folder in DOCUMENTED for docstring in docstrings(folder)]
    missing = [
        f"{docstring.path}:{docstring.line} {docstring.name}"
        for docstring in documented
        if not docstring.is_sentence
    ]
    assert len(documented) > 1_000
    assert missing == []


@pytest.mark.parametrize(
    ("text", "is_sentence"),
    [
        ("Reads the file.", True),
        ("`parse` reads a record and raises nothing.", True),
        ("Reads the file, which may\nbe long.\n\nMore of it", True),
        ("", False),
        ("The file", False),
        ("Reads the file", False),
        ("reads the file.", False),
        ("Oldest first.", False),
    ],
)
def test_a_sentence_is_known_by_its_beginning_its_end_and_its_length(
    text: str, is_sentence: bool
) -> None:
    assert Docstring("service/x.py", 1, "x", text).is_sentence is is_sentence
