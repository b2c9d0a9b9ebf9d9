"""Completion by the tab key, from the installed program, in bash and in zsh."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What an installer writes for the program.
PROGRAM = f"#!{sys.executable}\nfrom service.__main__ import main\nmain()\n"
COMPLETE = """
source <(printf '%s' "$SCRIPT")
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
complete -p bursar-bridge >/dev/null || exit 1
_bursar_bridge_completion "$1"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("bin") / "bursar-bridge"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    return program


@pytest.fixture
def environment(program: Path, tmp_path: Path) -> dict[str, str]:
    return environment_in(program, tmp_path)


@pytest.fixture(scope="module")
def scripts(program: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The scripts that the program shows for each shell."""
    environment = environment_in(program, tmp_path_factory.mktemp("home"))
    return {
        shell: run(environment, "bursar-bridge", "--show-completion", shell)
        for shell in ("bash", "zsh")
    }


def environment_in(program: Path, home: Path) -> dict[str, str]:
    """Only what a shell needs: no settings, and a process above that is no shell."""
    path = f"{program.parent}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(home), "PYTHONPATH": str(ROOT)}


def run(environment: dict[str, str], *command: str, code: int = 0) -> str:
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == code, ended.stderr
    return ended.stdout


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        (("held", ""), {"list", "show", "release"}),
        (("rejected", "list", "--bec"), {"--because"}),
        (("rejected", "list", "--rea"), set()),  # the former name still works, and is not offered
        (("rejected", "list", "--state", ""), {"open", "replayed", "discarded"}),
        (
            ("export", "run", "--"),
            {"--profile", "--all", "--even-if-paused", "--wide", "--json", "--help"},
        ),
        (("held", "list", "--because", "no_pr"), {"no_profile"}),
    ],
)
def test_bash_completes_commands_options_and_words(
    environment: dict[str, str],
    scripts: dict[str, str],
    words: tuple[str, ...],
    completions: set[str],
) -> None:
    shell = ("bash", "--norc", "-c", COMPLETE, "bash", "bursar-bridge", *words)
    assert set(run(environment | {"SCRIPT": scripts["bash"]}, *shell).split()) == completions


def test_the_script_for_zsh_names_the_program_and_defines_its_completion(
    scripts: dict[str, str],
) -> None:
    first, *lines = scripts["zsh"].splitlines()
    assert first == "#compdef bursar-bridge"
    assert "_bursar_bridge_completion() {" in lines
    assert lines[-1] == "compdef _bursar_bridge_completion bursar-bridge"


ZSH_QUESTION = re.compile(
    r"^_bursar_bridge_completion\(\) \{\n  eval \$\((env .*)\)\n\}$", re.MULTILINE
)
ZSH_WORDS = '"${words[1,$CURRENT]}"'  # what the user has typed, in zsh's own notation


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("held re", {"release"}),
        ("rejected list --bec", {"--because"}),
        ("rejected list --state ", {"open", "replayed", "discarded"}),
    ],
)
def test_the_question_in_the_script_for_zsh_is_answered_with_the_completions(
    environment: dict[str, str], scripts: dict[str, str], words: str, completions: set[str]
) -> None:
    """Put by another shell, so that the test needs no zsh: its own notation is filled in here."""
    question = ZSH_QUESTION.search(scripts["zsh"])
    assert question is not None, scripts["zsh"]
    assert ZSH_WORDS in question[1]
    typed = shlex.quote(f"bursar-bridge {words}")
    answer = run(environment, "sh", "-c", question[1].replace(ZSH_WORDS, typed))
    assert answer.startswith("_arguments '*: :((")
    assert set(re.findall(r'(?:\(\(|\n)"([\w-]+)"', answer)) == completions


def test_zsh_is_told_what_each_command_does(environment: dict[str, str]) -> None:
    """The answer to the script's question, put as the script puts it."""
    asked = {
        "_BURSAR_BRIDGE_COMPLETE": "complete_zsh",
        "_TYPER_COMPLETE_ARGS": "bursar-bridge held ",
    }
    answer = run(environment | asked, "bursar-bridge")
    assert '"release":"Let the next run export fines that are' in answer


@pytest.mark.parametrize(
    ("shell", "start_file", "script"),
    [
        ("bash", ".bashrc", ".bash_completions/bursar-bridge.sh"),
        ("zsh", ".zshrc", ".zfunc/_bursar-bridge"),
    ],
)
def test_the_script_is_installed_for_the_shell_that_is_named(
    environment: dict[str, str], shell: str, start_file: str, script: str
) -> None:
    home = Path(environment["HOME"])
    answer = run(environment, "bursar-bridge", "--install-completion", shell)
    assert f"{shell} completion installed in {home / script}" in answer
    assert "_BURSAR_BRIDGE_COMPLETE" in (home / script).read_text()
    assert (home / start_file).is_file()


def test_no_shell_is_guessed(environment: dict[str, str]) -> None:
    run(environment, "bursar-bridge", "--show-completion", code=2)
    run(environment, "bursar-bridge", "--install-completion", "tcsh", code=2)


@pytest.mark.parametrize("option", ["--show-completion", "--install-completion"])
def test_a_checkout_has_no_program_to_complete(environment: dict[str, str], option: str) -> None:
    run(environment, sys.executable, "-m", "service", option, "bash", code=2)
