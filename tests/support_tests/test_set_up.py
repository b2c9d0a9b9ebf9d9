"""What brings the project up on a fresh machine: its environment, its locks, its containers."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from service.export.profiles.reading import overlaps, read_profiles, warnings
from tests.support.services.engine import KAFKA_IMAGE, POSTGRES_IMAGE

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


@pytest.mark.parametrize(
    ("python", "advice"),
    [
        ('echo "Python 3.9.2"; exit 1', "Python 3.11 or later is needed; found: Python 3.9.2"),
        (
            'case "$*" in *ensurepip*) exit 1;; *version_info*) exit 0;; esac; echo Python 3.11.2',
            "Python 3.11.2 lacks .*\n.*apt-get install python3-venv",
        ),
    ],
    ids=["too old", "without venv"],
)
def test_a_python_that_will_not_do_is_refused_with_advice(
    tmp_path: Path, python: str, advice: str
) -> None:
    (tmp_path / ".ci").mkdir()
    (tmp_path / "requirements").mkdir()
    shutil.copy(ROOT / ".ci" / "venv", tmp_path / ".ci")
    shutil.copy(ROOT / "requirements" / "dev.txt", tmp_path / "requirements")
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\n{python}\n")
    fake.chmod(0o755)
    done = subprocess.run(
        [tmp_path / ".ci" / "venv"],
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(fake)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert re.search(advice, done.stderr)
    assert not (tmp_path / ".venv").exists()


def test_there_are_locks() -> None:
    assert {lock.stem for lock in LOCKS} == {"build", "clocks", "dev", "service", "tools"}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_locked_package_has_hashes_and_no_lock_names_an_index(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert "--index-url" not in text
    for entry in re.split(r"\n(?=\S)", text.strip()):
        assert re.match(r"[a-z0-9.-]+(\[.*\])?==\S+", entry), entry
        assert "--hash=sha256:" in entry, entry


def test_containers_are_published_on_loopback_alone_and_are_those_of_the_tests() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert len(published) == 3
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert services["postgres"]["image"] == POSTGRES_IMAGE
    assert services["kafka"]["image"] == KAFKA_IMAGE


def test_the_image_is_built_once_and_all_containers_of_the_service_use_it() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    built = [name for name, service in services.items() if "build" in service]
    assert built == ["service"]
    image = services["service"]["image"]
    users = {name: service for name, service in services.items() if service["image"] == image}
    assert users.keys() == {"migrate", "topics", "service"}
    assert {service["pull_policy"] for service in users.values()} == {"never"}


def test_the_profiles_of_the_containers_can_be_read() -> None:
    profiles = read_profiles(ROOT / "deploy" / "profiles.toml")
    assert profiles.profiles
    assert warnings(profiles) == []
    assert overlaps(profiles) == []
