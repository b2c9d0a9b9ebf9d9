"""Histories of a few seeds in which much goes wrong; `make simulate` has thousands of them."""

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
FIRST_SEEDS = (0, 6, 12, 18)
FIRST_RESTORED_SEEDS = (0, 6)
PART = "6"  # so many seeds in each test
SMALL = ("--events", "6", "--verbose")
CONTROL_SEEDS = 50
# Seeds with restores that have found something: how far a partition is was asked before its offsets
# were loaded; and what waited in a member that has no partitions any more.
MENDED = (35, 334)

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
@pytest.mark.parametrize("first", FIRST_SEEDS)
def test_whatever_goes_wrong_a_history_ends_where_the_model_ends(
    services: Services, first: int
) -> None:
    code, printed = simulator(services, "--seed", str(first), "--count", PART, *SMALL)
    assert code == 0, printed


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("first", FIRST_RESTORED_SEEDS)
def test_an_older_database_is_recovered_and_the_history_goes_on_and_can_be_had_again(
    services: Services, first: int
) -> None:
    seed = ("--restores", "--seed", str(first))
    code, printed = simulator(services, *seed, "--count", PART, *SMALL)
    assert code == 0, printed
    code, again = simulator(services, *seed, *SMALL)
    assert code == 0, again
    assert line_of(first, again) == line_of(first, printed)


def test_two_histories_side_by_side_are_those_of_one_after_the_other(services: Services) -> None:
    code, printed = simulator(services, "--seed", "3", "--count", "2", "--jobs", "2", *SMALL)
    assert code == 0, printed
    code, alone = simulator(services, "--seed", "4", *SMALL)
    assert code == 0, alone
    assert line_of(4, alone) == line_of(4, printed)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seed", MENDED)
def test_what_a_seed_has_found_stays_mended(services: Services, seed: int) -> None:
    code, printed = simulator(services, "--restores", "--seed", str(seed), *SMALL)
    assert code == 0, printed


@pytest.mark.slow
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("protection", PROTECTIONS)
def test_without_a_protection_seeds_fail(services: Services, protection: str) -> None:
    count = str(CONTROL_SEEDS)
    code, printed = simulator(services, "--without", protection, "--count", count, *SMALL)
    assert code == 1, printed
    assert "again, exactly: " in printed
