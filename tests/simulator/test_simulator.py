"""Histories of a few seeds in which much goes wrong; `make faults` has thousands of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulator.controls import PROTECTIONS
from tests.support.services import Services

ROOT = Path(__file__).parents[2]
SEEDS = 2
RESTORED_SEEDS = 1
AGAIN = 0  # any of them
SMALL = ("--events", "6", "--verbose")
CONTROL_SEEDS = 50

pytestmark = pytest.mark.usefixtures("without_coverage")


def simulator(services: Services, *arguments: str) -> tuple[int, str]:
    """Runs the program; its exit code and what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulator", *arguments],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": services.database_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def line_of(seed: int, printed: str) -> str:
    """Steps and digest of the trace of a seed."""
    match = re.search(rf"^seed {seed}: .*$", printed, re.MULTILINE)
    assert match is not None, printed
    return match[0]


@pytest.mark.timeout(1_800)
def test_whatever_goes_wrong_a_history_ends_where_the_model_ends(
    services: Services,
) -> None:
    code, printed = simulator(services, "--count", str(SEEDS), *SMALL)
    assert code == 0, printed


@pytest.mark.timeout(1_800)
def test_an_older_database_is_recovered_and_the_history_goes_on_and_can_be_had_again(
    services: Services,
) -> None:
    code, printed = simulator(services, "--restores", "--count", str(RESTORED_SEEDS), *SMALL)
    assert code == 0, printed
    code, again = simulator(services, "--restores", "--seed", str(AGAIN), *SMALL)
    assert code == 0, again
    assert line_of(AGAIN, again) == line_of(AGAIN, printed)


@pytest.mark.slow
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("protection", PROTECTIONS)
def test_without_a_protection_seeds_fail(services: Services, protection: str) -> None:
    count = str(CONTROL_SEEDS)
    code, printed = simulator(services, "--without", protection, "--count", count, *SMALL)
    assert code == 1, printed
    assert "again, exactly: " in printed
