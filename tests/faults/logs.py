"""Logs say nothing of a patron: no name, no identifier and no text of a fine stands in them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

# What the load of a row has in its records: names, identifiers, comments and titles.
PERSONAL = re.compile(r"Doe, Jane|\bAP-\d+|Returned late|Algorithms")


def check_logs(files: Iterable[Path]) -> None:
    """As `check_log`, for the log of each instance."""
    for file in files:
        check_log(file.read_text("utf-8", errors="replace"))


def check_log(text: str) -> None:
    """Fails if the log of an instance has personal data of the load; the failure quotes none."""
    places = [number for number, line in enumerate(text.splitlines(), 1) if PERSONAL.search(line)]
    if places:
        raise AssertionError(f"lines of the log with personal data: {places}")
