"""Earlier releases, from the history of this repository, to run beside this one."""

from __future__ import annotations

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSION = "0.3.0"
GIT_SECONDS_MAX = 60
ADVICE = "the history is incomplete: run `git fetch --unshallow` in a clone of the repository"


def extract_older_release(folder: Path, version: str = VERSION) -> Path:
    """Writes the source of a release into a new folder, which it returns.

    `python -m service` runs it there, with the packages of this environment. Fails if the
    history does not have the release: without it nothing would be tested.
    """
    root = folder / f"release-{version}"
    archive = _git(
        "archive",
        "--format=tar",
        _release_commit(version),
        "service",
        "contracts",
        "pyproject.toml",
    )
    with tarfile.open(fileobj=BytesIO(archive)) as source:
        source.extractall(root, filter="data")
    return root


def _release_commit(version: str) -> str:
    """The commit that says so; without one the last with that version, before it was raised."""
    released = _git("log", "--first-parent", "--format=%H", f"--grep=^Release {version}$")
    if released:
        return released.decode().split()[0]
    line = f'version = "{version}"'
    commits = _git("log", "--first-parent", "--format=%H", f"-S{line}", "--", "pyproject.toml")
    for commit in commits.decode().split():  # the newest that set it or took it away
        if line not in _git("show", f"{commit}:pyproject.toml").decode():
            return f"{commit}^"
        raise AssertionError("the version has not been raised since that release")
    raise AssertionError(f"no commit sets {line} in pyproject.toml; {ADVICE}")


def _git(*arguments: str) -> bytes:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *arguments],
        capture_output=True,
        check=False,
        timeout=GIT_SECONDS_MAX,
    )
    problem = done.stderr.decode(errors="replace").strip()
    assert done.returncode == 0, f"git {arguments[0]}: {problem}; {ADVICE}"
    return done.stdout
