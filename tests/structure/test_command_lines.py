"""Every command line that a text, a docstring or a message names is one that exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import typer
from typer.core import TyperGroup

from service.cli.program import application
from tests.structure.reference import Parameter, choices_of
from tests.structure.source import nodes_of
from tests.support.pages import PAGES, TEXTS, code_lines, name_of, text_of, without_code

ALL = [path for path in TEXTS if path != Path(__file__)]

PROGRAM = re.compile(r"(?<![\w/-])(?:bursar-bridge|python -m service)((?: [^\s`\"'<>|]+)+)")
# The group and the command alone, as documents name them: `parked release --reason TEXT`.
SHORT = re.compile(r"`([a-z][a-z-]*(?: [^\s`<>|]+)+)`")
# A row of a table of commands: the command, and what the other cells say of it.
ROW = r"^\| `bursar-bridge ([^`]*)` (\|.*)$"
BARE_OPTIONS = frozenset({"--help", "--install-completion", "--show-completion", "--version"})


ROOT_COMMAND = typer.main.get_command(application)


def fault_of(words: list[str], *, only_groups: bool = False) -> str | None:
    """What is wrong with a command line, None if it exists."""
    command, depth = ROOT_COMMAND, 0
    context = typer.Context(command)
    while isinstance(command, TyperGroup) and depth < len(words):
        word = words[depth]
        if not re.fullmatch(r"[a-z][a-z-]*", word):
            break
        following = command.get_command(context, word)
        if following is None:
            return None if only_groups and depth == 0 else f"no command {word}"
        if only_groups and depth == 0 and not isinstance(following, TyperGroup):
            return None
        command, depth = following, depth + 1
    options = {name for parameter in command.params for name in parameter.opts}
    options |= {name for parameter in command.params for name in parameter.secondary_opts}
    rest = " ".join(words[depth:])
    given = re.findall(r"(?<!\S)--[a-z][a-z-]*", rest)
    wrong = [option for option in given if option not in options | BARE_OPTIONS]
    if wrong:
        return f"no option {' '.join(wrong)}"
    values = [
        value
        for parameter in cast("list[Parameter]", command.params)
        for option in parameter.opts
        for value in re.findall(rf"(?<!\S){option} ([a-z_]+)(?!\S)", rest)
        if value not in (choices_of(parameter) or [value])
    ]
    return f"no value {' '.join(values)}" if values else None


def _strings(path: Path) -> Iterator[str]:
    """The literals of a program, pieces that stand side by side put together, and its comments."""
    for node in nodes_of(path):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values
            )
    yield from re.findall(r"# .*", path.read_text("utf-8"))


def command_lines(path: Path) -> Iterator[str]:
    """What stands behind the program's name, up to the end of the line in blocks of code."""
    if not PROGRAM.search(text_of(path)):
        return
    if path.suffix == ".py":
        texts = [re.sub(r"\s*\n\s*", " ", literal) for literal in _strings(path)]
    elif path.suffix == ".md":
        text = path.read_text("utf-8")
        texts = [re.sub(r"\s*\n\s*", " ", without_code(text)), *code_lines(text)]
    else:
        texts = path.read_text("utf-8").splitlines()
    for text in texts:
        for match in PROGRAM.finditer(text):
            yield match[1]


def test_command_lines_that_are_named_exist() -> None:
    wrong = []
    for path in ALL:
        for line in command_lines(path):
            fault = fault_of(line.split())
            if fault is not None:
                wrong.append(f"{name_of(path)}: {line.strip()}: {fault}")
    assert wrong == []


def test_options_in_the_table_of_commands_are_those_of_their_command() -> None:
    wrong = []
    for page in PAGES:
        rows = re.findall(ROW, page.read_text("utf-8"), re.MULTILINE)
        for line, rest in rows:
            options = re.findall(r"`(--[a-z-]+)", rest)
            fault = fault_of([*line.split(), *options])
            if fault is not None:
                wrong.append(f"{name_of(page)}: {line}: {fault}")
    assert wrong == []


def test_commands_that_are_named_in_short_exist() -> None:
    """Without the program's name, as in "`parked release --reason TEXT`"."""
    wrong = []
    for path in ALL:
        if not SHORT.search(path.read_text("utf-8")):
            continue
        for text in _strings(path) if path.suffix == ".py" else [path.read_text("utf-8")]:
            for match in SHORT.finditer(text):
                fault = fault_of(match[1].split(), only_groups=True)
                if fault is not None:
                    wrong.append(f"{name_of(path)}: {match[1]}: {fault}")
    assert wrong == []
