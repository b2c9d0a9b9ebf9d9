"""The work of `bursar-bridge check`: checks everything that the service needs, before an operator
starts it.
"""

import os
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import typer

from ..settings import unknown_variables
from .errors import FAILED, processes_or_exit, settings_or_exit
from .lists import Listing, sentence, word

# The subject of the fault that the settings lead to another Kafka than the database's.
KAFKA_HOME = "kafka home"


class Verdict(StrEnum):
    """How bad a finding of `bursar-bridge check` is: with a fault the service cannot start or work;
    with a note it can, but an operator should read the note.
    """

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
class Finding:
    """One statement of `bursar-bridge check` about a subject, such as the database; there may be
    several findings about one subject.
    """

    subject: str
    text: str
    verdict: Verdict


ok = partial(Finding, verdict=Verdict.OK)
note = partial(Finding, verdict=Verdict.NOTE)
fault = partial(Finding, verdict=Verdict.FAULT)


def check(processes: str | None, as_json: bool) -> None:
    """Shows all findings of the check; ends the command with exit code 1 if one is a fault."""
    settings = settings_or_exit()
    wanted = processes_or_exit(processes, settings)
    import asyncio  # with the drivers: the settings are read first

    from . import check_services

    findings = [*_settings(), *asyncio.run(check_services.findings(settings, wanted))]
    rows = [
        {"subject": finding.subject, "verdict": finding.verdict.value, "finding": finding.text}
        for finding in findings
    ]
    from .tables import show  # with rich: nothing was shown so far

    show(CHECKED, rows, as_json)
    if any(finding.verdict is Verdict.FAULT for finding in findings):
        raise typer.Exit(FAILED)


def _settings() -> list[Finding]:
    faults = [fault("settings", text) for text in unknown_variables(os.environ)]
    return faults or [ok("settings", "complete and within bounds")]
