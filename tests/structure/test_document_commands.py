"""Every command in the documents is run by a test, or parsed by the program that it calls."""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
from typer.core import TyperGroup

from service.cli.commands import declare
from service.cli.program import application
from tests.support.command_line import call
from tests.support.pages import PAGES, ROOT, name_of, without_code

SHELL = frozenset({"sh", "bash", "console"})
NO_COMMANDS = frozenset({"json", "mermaid", "toml", "xml"})
# What may begin a command: a document that uses a further program has to say how it is checked.
PROGRAMS = frozenset(
    """
    .venv/bin/python alembic apt bash cat chmod cp cron crontab curl docker eval git
    helm initdb kafka-consumer-groups.sh kafka-topics.sh kill kubectl make mv pg_ctl pip podman psql
    pytest python python3 rm scp sftp sha256sum source ssh sudo systemctl tar terraform ulimit uv
    wget bursar-bridge
    """.split()
)
STATEMENT = re.compile(
    r"(?:ALTER|CREATE|DELETE|DISABLE|DROP|ENABLE|GRANT|INSERT|SELECT|SET|TRUNCATE|UPDATE|VACUUM) "
)
# Commands that tests run, and where. A page stands for all commands of its blocks of code.
RUN = {
    "docs/getting-started.md": "tests/end_to_end/test_getting_started.py",
    "bursar-bridge held show --institution 6050 --fine 40391": "tests/database/test_runbook.py",
    "bursar-bridge --install-completion bash": "tests/end_to_end/test_completion.py",
    "source <(bursar-bridge --show-completion bash)": "tests/end_to_end/test_completion.py",
    "python -m tests.contracts.digests --write": "tests/contracts/test_released.py",
    "python -m tests.auditor": "tests/support/load_audit.py",
    "python -m tests.structure.sentences --seed 1": "tests/structure/test_sentences.py",
    "python -m tests.simulator --seed 7 --verbose": "tests/simulator/test_simulator.py",
    ".venv/bin/python examples/watch.py": "tests/end_to_end/test_examples.py",
    "DELETE FROM source_seen WHERE institution_id = ... AND topic = ... AND source = ...": (
        "tests/database/test_runbook.py"
    ),
}
# A statement that the service uses, and a label: no commands for a reader.
NAMED_ONLY = frozenset({"SELECT ... FOR UPDATE", "held back"})
NAMES = {"COMMAND": "check", "FILE": str(ROOT / "README.md"), "N": "1", "M": "2"}
HISTORY = "CHANGELOG.md"  # names commands and options of earlier releases
SECONDS_MAX = 60


class Command(NamedTuple):
    page: str
    text: str
    is_in_block: bool


def commands() -> Iterator[Command]:
    """The commands of all documents: the lines of blocks of code, and code within sentences."""
    for page in PAGES:
        if name_of(page) == HISTORY:
            continue
        text = page.read_text("utf-8")
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            for line in _lines(language, block):
                yield Command(name_of(page), re.sub(r"\s+# .*", "", line).strip(), True)
        for span in re.findall(r"`([^`]+)`", without_code(text)):
            command = " ".join(span.split())
            if is_command(command):
                yield Command(name_of(page), command, False)


def _lines(language: str, block: str) -> list[str]:
    if language in NO_COMMANDS:
        return []
    if language in SHELL:
        return [line for line in block.splitlines() if line.strip()]
    assert language == "", f"{language}: does a block of this language hold commands?"
    return [line[2:] for line in block.splitlines() if line.startswith("$ ")]


def is_command(text: str) -> bool:
    program, _, rest = text.partition(" ")
    if program in SINGLE:
        return rest.startswith("-")
    return bool(rest) and (program in PROGRAMS or program in GROUPS or bool(STATEMENT.match(text)))


ROOT_COMMAND = typer.main.get_command(application)
assert isinstance(ROOT_COMMAND, TyperGroup)
GROUPS = frozenset(
    name for name, command in ROOT_COMMAND.commands.items() if isinstance(command, TyperGroup)
)
# Commands without a group: without an option, such a name in a sentence may be a word of it.
SINGLE = frozenset(ROOT_COMMAND.commands) - GROUPS


def test_the_documents_have_commands() -> None:
    texts = {command.text for command in commands()}
    assert len(texts) > 100
    named = {"make demo", "docker compose up --build --wait", "export preview", *RUN}
    assert named - texts == {"docs/getting-started.md"}


def test_every_command_is_run_by_a_test_or_parsed_by_its_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(declare, "work_of", lambda _: lambda **_: None)
    known = {command.text: command for command in commands()}
    faults = [
        f"{command.page}: {command.text}: {fault}"
        for command in known.values()
        if (fault := _fault(command)) is not None
    ]
    assert faults == []


def test_the_tests_that_run_commands_exist() -> None:
    for command, test in RUN.items():
        names = re.findall(r"[\w-]{4,}|[A-Z]+", command)
        assert (ROOT / test).is_file()
        assert any(name in (ROOT / test).read_text("utf-8") for name in names), test


def _fault(command: Command) -> str | None:
    """Why a command is neither run nor understood by its program; None if it is."""
    if command.text in RUN or command.text in NAMED_ONLY:
        return None
    if command.is_in_block and command.page in RUN:
        return None
    for pattern, parse in PARSERS.items():
        if match := re.fullmatch(pattern, command.text):
            return parse(match["rest"] or "")
    return "no test runs it, and nothing parses it"


def _fault_of_our_program(rest: str) -> str | None:
    """Calls the program, whose commands do nothing here, with values for what a document leaves to
    the reader. A command that is only named is looked for.
    """
    for alternative in {re.sub(r"\|\S+", "", rest), re.sub(r"\S+\|", "", rest)}:  # list|show
        words = shlex.split(alternative)
        if not any(word.startswith("-") for word in words):
            fault = _fault_of_name(words)
        else:
            ended = call(*(_value(word) for word in words))
            fault = None if ended.exit_code == 0 else ended.stderr + ended.stdout
        if fault is not None:
            return fault
    return None


def _fault_of_name(words: list[str]) -> str | None:
    command: object = ROOT_COMMAND
    for word in words:
        if isinstance(command, TyperGroup):
            command = command.commands.get(word)
    return f"no command {' '.join(words)}" if command is None else None


def _value(word: str) -> str:
    return NAMES.get(word, "1" if re.fullmatch(r"[A-Z][A-Z_]*", word) else word)


def _fault_of_make(rest: str) -> str | None:
    return _ended("make", "--dry-run", *shlex.split(rest))


def _fault_of_pytest(rest: str) -> str | None:
    return _ended(sys.executable, "-m", "pytest", "--collect-only", *shlex.split(rest))


def _fault_of_checksums(rest: str) -> str | None:
    return _ended("sha256sum", *shlex.split(rest), folder=ROOT / "contracts")


def _fault_of_ulimit(rest: str) -> str | None:
    return _ended("bash", "-c", f"ulimit {rest}")


def _fault_of_compose(rest: str) -> str | None:
    """Compose parses a command only together with an engine's plug-in, which a machine that runs
    the tests may lack. Then the options are those of its reference that the documents use.
    """
    if shutil.which("docker") and _ended("docker", "compose", "version") is None:
        return _ended("docker", "compose", *shlex.split(rest), "--help")
    parser = argparse.ArgumentParser(prog="docker compose", exit_on_error=False)
    actions = parser.add_subparsers(required=True)
    up = actions.add_parser("up", exit_on_error=False)
    for option in ("--build", "--detach", "--wait"):
        up.add_argument(option, action="store_true")
    actions.add_parser("build", exit_on_error=False)
    try:
        parser.parse_args(shlex.split(rest))
    except (argparse.ArgumentError, SystemExit):
        return f"not in the reference of Compose: {rest}"
    return None


def _ended(*command: str, folder: Path = ROOT) -> str | None:
    """What a command that failed has printed, None if it ended well."""
    ended = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=SECONDS_MAX,
    )
    return None if ended.returncode == 0 else ended.stderr + ended.stdout


PYTHON = r"(?:\.venv/bin/)?python"
PARSERS: dict[str, Callable[[str], str | None]] = {
    r"bursar-bridge (?P<rest>.+)": _fault_of_our_program,
    rf"{PYTHON} -m service(?: (?P<rest>.+))?": _fault_of_our_program,
    rf"(?P<rest>(?:{'|'.join(sorted(GROUPS))}) .+)": _fault_of_our_program,
    rf"(?P<rest>(?:{'|'.join(sorted(SINGLE))}) -.+)": _fault_of_our_program,
    r"ulimit (?P<rest>.+)": _fault_of_ulimit,
    r"make (?P<rest>.+)": _fault_of_make,
    rf"{PYTHON} -m pytest (?P<rest>.+)": _fault_of_pytest,
    r"sha256sum (?P<rest>.+)": _fault_of_checksums,
    r"docker compose (?P<rest>.+)": _fault_of_compose,
}


OURS = (
    "bursar-bridge"  # alone: tests/structure/test_command_lines.py would report its wrong commands
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("kubectl apply -f pod.yaml", "no test runs it"),
        ("make no-such-target", "no-such-target"),
        (f"{OURS} parked list --no-such-option", "--no-such-option"),
        (f"{OURS} export list --limit many", "valid int"),
        (f"{OURS} export lists", "no command"),
        ("run --no-such-option", "--no-such-option"),
        ("ulimit --no-such-option", "invalid option"),
        ("docker compose up --no-such-option", "--no-such-option"),
        ("DELETE FROM fine", "no test runs it"),
    ],
)
def test_a_command_that_is_wrong_is_noticed(
    text: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(declare, "work_of", lambda _: lambda **_: None)
    assert is_command(text)
    fault = _fault(Command("README.md", text, False))
    assert fault is not None
    assert reason in fault
