"""A member is started by the command that its parent was started with, however that was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import ROOT

SHOW = """
import json
from service.supervisor.children import this_command

print(json.dumps(this_command()))
"""
ARGUMENTS = ("run", "--processes", "2")


def shown(folder: Path, *program: str) -> list[str]:
    """What a fresh interpreter says that runs `program` in `folder`."""
    ended = subprocess.run(
        [sys.executable, *program, *ARGUMENTS],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        text=True,
    )
    command: list[str] = json.loads(ended.stdout)
    return command


@pytest.mark.usefixtures("without_coverage")
def test_a_script_is_called_again_as_it_was(tmp_path: Path) -> None:
    script = tmp_path / "bursar-bridge"
    script.write_text(SHOW)
    assert shown(tmp_path, str(script)) == [sys.executable, str(script), *ARGUMENTS]


@pytest.mark.usefixtures("without_coverage")
def test_a_module_is_run_again_by_its_name(tmp_path: Path) -> None:
    package = tmp_path / "program"
    package.mkdir()
    (package / "__main__.py").write_text(SHOW)
    assert shown(tmp_path, "-m", "program") == [sys.executable, "-m", "program", *ARGUMENTS]
