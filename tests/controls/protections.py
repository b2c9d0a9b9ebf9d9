"""The protections that are taken away, read from `protections.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("protections.toml")


@dataclass(frozen=True, slots=True)
class Change:
    """A part of a file of the source, which is there once, and what is put in its place."""

    path: str
    part: str
    instead: str


@dataclass(frozen=True, slots=True)
class Protection:
    """Something that keeps the service from harm; the file says what its parts mean."""

    name: str
    what: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...]
    seeds: int = 0
    behind: str = ""


def _read() -> tuple[Protection, ...]:
    entries = tomllib.loads(FILE.read_text("utf-8"))["protection"]
    return tuple(
        Protection(
            entry["name"],
            entry["what"],
            tuple(Change(**change) for change in entry["change"]),
            tuple(entry["tests"]),
            entry.get("seeds", 0),
            entry.get("behind", ""),
        )
        for entry in entries
    )


PROTECTIONS = _read()
