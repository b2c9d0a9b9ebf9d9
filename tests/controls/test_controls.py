"""Each protection can be taken away, and what becomes of its tests is told as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.controls.protections import PROTECTIONS, Change, Protection
from tests.controls.report import NAME, table, write
from tests.controls.trial import CannotRun, Result, Verdict, apply_to, try_without
from tests.structure.test_reliability import missing
from tests.support.services import Services

ROOT = Path(__file__).parents[2]
# Quick ones, of a statement and of a rule; `make faults-controls` has all of them.
SMALL = ("offsets", "breaker")

pytestmark = pytest.mark.usefixtures("without_coverage")


def environment_of(services: Services) -> dict[str, str]:
    return {
        "DATABASE_URL": services.database_url,
        "KAFKA_BOOTSTRAP_SERVERS": services.kafka_bootstrap_servers,
    }


def named(name: str) -> Protection:
    (protection,) = [each for each in PROTECTIONS if each.name == name]
    return protection


def test_each_protection_is_where_it_is_said_to_be() -> None:
    changes = [change for protection in PROTECTIONS for change in protection.changes]
    texts = {change.path: (ROOT / change.path).read_text("utf-8") for change in changes}
    assert [
        c.part for c in changes if texts[c.path].count(c.part) != 1 or c.part == c.instead
    ] == []
    assert [protection.name for protection in PROTECTIONS if not protection.changes] == []


def test_each_protection_has_tests_that_exist() -> None:
    names = [test for protection in PROTECTIONS for test in protection.tests]
    assert list(missing(" ".join(f"`{name}`" for name in names))) == []
    assert [name for name in names if "[" in name] == [], "all cases of a test run"
    assert [protection.name for protection in PROTECTIONS if not protection.tests] == []


@pytest.mark.parametrize("name", SMALL)
def test_without_a_protection_its_tests_fail(services: Services, name: str) -> None:
    protection = replace(named(name), seeds=0)
    verdict = try_without(protection, environment_of(services))
    assert verdict.is_red, table([verdict])


def test_a_protection_that_no_test_misses_is_told(services: Services) -> None:
    change = Change("service/__init__.py", "", "# nothing is taken away\n")
    nothing = Protection("nothing", "nothing", (change,), named("offsets").tests)
    verdict = try_without(nothing, environment_of(services))
    assert not verdict.is_red
    assert "Not noticed: nothing." in table([verdict])


def test_a_change_that_does_not_fit_is_no_control(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a protection\n")
    with pytest.raises(CannotRun, match="has 0 times"):
        apply_to(tmp_path, Change("file", "another protection", ""))


def test_a_test_that_cannot_run_is_no_control(services: Services) -> None:
    change = Change("service/core/breaker.py", "def _stop(", "def _stop(()")
    broken = Protection("broken", "nothing", (change,), named("breaker").tests)
    with pytest.raises(CannotRun):
        try_without(broken, environment_of(services))


def test_the_report_names_what_was_not_noticed(tmp_path: Path) -> None:
    results = (Result("tests/a.py::test_a", True, "assert 1 | 2", 1), Result("b", False, "", 2))
    verdicts = [Verdict(replace(named("offsets"), behind=""), results)]
    page = write(verdicts, tmp_path).read_text("utf-8")
    assert "| offsets |" in page
    assert "assert 1 \\| 2" in page
    assert "Not noticed: offsets." in page
    assert '"noticed": false' in (tmp_path / f"{NAME}.json").read_text("utf-8")
