"""`bursar-bridge check`: everything the service will ask for, asked before it starts."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import typer

from ..settings import unknown_variables
from .errors import FAILED, settings_or_exit
from .lists import Listing, sentence, word
from .tables import show


class Verdict(StrEnum):
    OK = "ok"
    NOTE = "note"
    FAULT = "fault"


CHECKED = Listing(
    "nothing was checked",
    (
        word("subject"),
        word("verdict", colours={"ok": "green", "note": "yellow", "fault": "red"}),
        sentence("finding"),
    ),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One finding about one subject; a note is allowed and yet worth a look."""

    subject: str
    verdict: Verdict
    text: str


def check(as_json: bool) -> None:
    settings = settings_or_exit()
    from . import check_profiles, check_services  # with their drivers and parsers

    profiles, lines = check_profiles.findings(settings)
    lines = [*_settings(), *lines, *asyncio.run(check_services.findings(settings, profiles))]
    rows = [
        {"subject": line.subject, "verdict": line.verdict.value, "finding": line.text}
        for line in lines
    ]
    show(CHECKED, rows, as_json)
    if any(line.verdict is Verdict.FAULT for line in lines):
        raise typer.Exit(FAILED)


def _settings() -> Iterator[Line]:
    strange = unknown_variables(os.environ)
    if not strange:
        yield Line("settings", Verdict.OK, "complete and within bounds")
    for text in strange:
        yield Line("settings", Verdict.FAULT, text)
