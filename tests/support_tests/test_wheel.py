"""The wheel, installed where other packages are called `service` and `contracts`."""

import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS_MAX = 60


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages: ours from the wheel, and two of somebody else's."""
    folder = tmp_path_factory.mktemp("wheel")
    command = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    packages = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    for name in ("service", "contracts"):
        (packages / name).mkdir()
        (packages / name / "__init__.py").write_text("raise ImportError('of another team')\n")
    return packages


@pytest.fixture
def environment(
    site: Path, empty_database_url: str, bootstrap_servers: str, topic_prefix: str, group_id: str
) -> dict[str, str]:
    kept = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("BURSAR_", "COVERAGE_"))
    }
    return kept | {
        "PYTHONPATH": str(site),
        "DATABASE_URL": empty_database_url,
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "BURSAR_TOPIC_PREFIX": topic_prefix,
        "BURSAR_CONSUMER_GROUP": group_id,
        "BURSAR_OPS_PORT": "0",
    }


def _command(environment: dict[str, str], folder: Path, *arguments: str) -> str:
    """What a command that ends well prints. It runs as the wheel's script does."""
    script = "import sys; from bursar_bridge.cli import main; sys.argv[0] = 'bursar-bridge'; main()"
    result = subprocess.run(
        (sys.executable, "-c", script, *arguments),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_wheel_works_beside_packages_of_the_same_names(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Commands, migrations from the package's own files, the schema of the XML, and a run."""
    assert "bursar-bridge" in _command(environment, tmp_path, "--help")
    _command(environment, tmp_path, "topics", "create", "--partitions", "2")
    _command(environment, tmp_path, "migrate")
    _command(environment, tmp_path, "check")
    schema = "from bursar_bridge.export.xml.proof import bursar_export_schema as s; s()"
    subprocess.run((sys.executable, "-c", schema), cwd=tmp_path, env=environment, check=True)
    run = (sys.executable, "-m", "bursar_bridge", "run")
    file = tmp_path / "log"
    with file.open("wb") as log:
        process = subprocess.Popen(run, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + SECONDS_MAX
        while '"lease_taken"' not in file.read_text("utf-8"):
            assert process.poll() is None, file.read_text("utf-8")
            assert time.monotonic() < deadline, file.read_text("utf-8")
            time.sleep(0.1)
        process.terminate()
        assert process.wait(SECONDS_MAX) == 0
    finally:
        process.kill()
        process.wait()


def test_the_wheel_has_one_package(site: Path) -> None:
    names = {path.name for path in site.iterdir()} - {"service", "contracts"}
    assert {name for name in names if not name.endswith(".dist-info")} == {"bursar_bridge"}
