"""Progress bars on a terminal, and the lines that are written while a bar is shown."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter

import pytest

from service.cli import progress
from service.runtime.logs import configure_logging
from service.runtime.telemetry import Event, get_log
from tests.support.logs import logging_kept

COLUMNS = 80
SEQUENCE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")
TEXT = "no such student " * 12


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard error counts as a terminal of 80 columns that moves its cursor."""
    for name, value in {"TTY_COMPATIBLE": "1", "TERM": "xterm", "COLUMNS": str(COLUMNS)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NO_COLOR", "1")


def screen_of(output: str) -> list[str]:
    """The lines that a terminal shows in the end, if it is wide enough for each of them."""
    lines, row, column = [""], 0, 0
    for code, letter, carriage, newline, text in SEQUENCE.findall(output):
        if carriage:
            column = 0
        elif newline:
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif text:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
            column += len(text)
        elif letter == "K":
            assert code == "2"
            lines[row] = ""
        elif letter == "A":
            row -= int(code or 1)
    return [line.rstrip() for line in lines]


def test_log_lines_and_complaints_stand_whole_above_the_bar(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with logging_kept():
        configure_logging("info", "json")
        with progress.steps() as bars:
            task = bars.add_task("exporting", total=2)
            for number in range(2):
                get_log("service.test").info(Event.BATCH_SEALED, text=TEXT, number=number)
                print(f"bursar-bridge: {TEXT}", file=sys.stderr)
                bars.advance(task)
            bars.refresh()
    output = capsys.readouterr().err
    first, complaint, second, again, *rest = screen_of(output)
    assert [json.loads(line)["number"] for line in (first, second)] == [0, 1]
    assert [json.loads(line)["text"] for line in (first, second)] == [TEXT, TEXT]
    assert complaint == again == f"bursar-bridge: {TEXT}".rstrip()
    assert [line for line in rest if line] == [], "the bar is gone at the end"
    assert "exporting" in output
    assert "2/2" in output


def test_a_line_without_an_end_is_written_when_the_bar_goes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress.waiting("comparing"):
        print("almost", end="", file=sys.stderr)
    assert "almost" in screen_of(capsys.readouterr().err)


def test_the_bar_of_a_run_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """A bar that the terminal continues on a second line leaves its first one behind."""
    text = f"previewing {'STUDENT_INFORMATION_SYSTEM_OF_THE_COLLEGE'[:40]}"
    with progress.batches() as bars:
        bar = progress.RunBar(bars, text, 10_000_000)
        bar.passed(Counter({None: 9_999_999}))
        bars.refresh()
    shown = re.split(r"[\r\n]", capsys.readouterr().err)
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in shown]
    assert [line for line in lines if len(line) > COLUMNS] == []
    assert any(bar.counts in line for line in lines)
    assert any(line.startswith(text) for line in lines)
