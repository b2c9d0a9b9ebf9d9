"""Draws sentences from README, docs and docstrings, to be put to a reader who sees nothing else.

    python -m tests.structure.sentences --seed 1              25 sentences, each with its place
    python -m tests.structure.sentences --seed 1 --context    with their paragraphs as well

The place is the page with the heading, or the signature that a docstring belongs to. The same seed
draws the same sentences as long as the texts stay the same. If readers cannot say in their own
words what a sentence means, the sentence is rewritten.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.structure.docstrings import SERVICE, docstrings

ROOT = Path(__file__).resolve().parents[2]
WORDS_MIN = 5

# Where a sentence ends: behind its full stop, before a capital letter or a piece of code.
_END = re.compile(r"(?<=[.!?])[\"')]?\s+(?=[A-Z`\"(*])")
_NO_END = re.compile(r"\b(?:e\.g|i\.e|cf|[A-Z])\.$")
_WHOLE = re.compile(r"[\"'`(*]*[A-Z`].*[.!?][\"')]*$")
_BLOCK = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*|]|[0-9]+\.) ?)")
_MARK = re.compile(r"^(?:[-*] |[0-9]+\. )?(?:\*\*[^*]+\*\*[.:]? )?")
_CODE_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")


class Sentence(NamedTuple):
    """A sentence, and the page with its heading or the signature to which it belongs."""

    place: str
    text: str
    context: str


@cache
def sentences() -> tuple[Sentence, ...]:
    """Every sentence of at least `WORDS_MIN` words, pages first, in the order of the files."""
    return (*_of_pages(), *_of_docstrings())


def _of_pages() -> Iterator[Sentence]:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        name = page.relative_to(ROOT).as_posix()
        for heading, section in _sections(page.read_text("utf-8")):
            for row, text, paragraph in _sentences_of(section):
                yield Sentence(", ".join(filter(None, (name, heading, row))), text, paragraph)


def _of_docstrings() -> Iterator[Sentence]:
    for docstring in docstrings(SERVICE):
        whole = " ".join(docstring.text.split())
        for _, text, _ in _sentences_of(docstring.text):
            yield Sentence(f"{docstring.path}: {docstring.signature}", text, whole)


def _sections(page: str) -> Iterator[tuple[str, str]]:
    """The headings of a page, each with the text up to the next one."""
    heading, texts = "", list[str]()
    for line in _COMMENT.sub("", _CODE_BLOCK.sub("", page)).splitlines(keepends=True):
        if line.startswith("#"):
            yield heading, "".join(texts)
            heading, texts = line.strip("# \n"), []
        else:
            texts.append(line)
    yield heading, "".join(texts)


def _sentences_of(text: str) -> Iterator[tuple[str, str, str]]:
    """The sentences of a text with their paragraphs, behind the first cell of a table's row."""
    for row, paragraph in paragraphs(text):
        for sentence in split(paragraph):
            yield row, sentence, paragraph


def paragraphs(text: str) -> Iterator[tuple[str, str]]:
    """The paragraphs and list items of a text, and the cells of its tables behind their first one.

    Each comes with the first cell of its row, or with nothing if it does not stand in a table.
    """
    for block in _BLOCK.split(_LINK.sub(r"\1", text).strip()):
        line = " ".join(block.split())
        if line.startswith("|"):
            first, *others = (cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("| ")))
            yield from ((first, cell) for cell in others)
        else:
            yield "", _MARK.sub("", line)


def split(paragraph: str) -> Iterator[str]:
    """The whole sentences of a paragraph that have at least `WORDS_MIN` words."""
    parts: list[str] = []
    for part in _END.split(paragraph):
        parts.append(part)
        if not _NO_END.search(part):
            sentence = " ".join(parts)
            parts = []
            if _WHOLE.match(sentence) and len(sentence.split()) >= WORDS_MIN:
                yield sentence


def draw(seed: int, count: int) -> list[Sentence]:
    """Sentences chosen by a seed, each different from the others."""
    distinct = list({sentence.text: sentence for sentence in sentences()}.values())
    return random.Random(seed).sample(distinct, count)


def main() -> None:
    """Prints the sentences that the seed draws."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, default=25)
    parser.add_argument("--context", action="store_true", help="also the paragraph or docstring")
    arguments = parser.parse_args()
    for number, sentence in enumerate(draw(arguments.seed, arguments.count), 1):
        print(f"{number}. {sentence.text}\n    ({sentence.place})")
        if arguments.context and sentence.context != sentence.text:
            print(f"    {sentence.context}")


if __name__ == "__main__":
    main()
