"""Kafka Connect and Debezium's JDBC sink, fetched once like the broker and shared by all clones.

A folder of the cache holds `connect/` and `plugins/sink/`, complete or not at all, each file as the
lists of their sums say. Its name is the hash of what decides on its contents.
"""

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.bench.throughput import Tell
from tests.support.services.cache import (
    ROOT,
    cache_folder,
    check_jars,
    fetch_jars,
    locked,
    tools,
)

FETCH = Path(__file__).with_name("fetch.py")
# The folder of each list.
SUMS = {
    "connect": ROOT / "requirements" / "connect-jars.sha256",
    "plugins/sink": ROOT / "requirements" / "jdbc-sink-jars.sha256",
}


@dataclass(frozen=True)
class ConnectFiles:
    """Checked files for a worker of Kafka Connect."""

    java: Path
    jars: Path
    plugins: Path


def connect_files(tell: Tell) -> ConnectFiles:
    """The files, fetched if this is the first time; raises ServicesUnavailable with advice."""
    files = tools(tell)
    folder = cache_folder() / f"connect-{_content_key()}"
    with locked(folder.with_suffix(".lock")):
        if not folder.exists():
            tell("fetching Kafka Connect and Debezium's JDBC sink (67 MB, once)")
            _fill(folder, files.packages, files.java)
    _check(folder)
    return ConnectFiles(files.java, folder / "connect", folder / "plugins")


def _content_key() -> str:
    key = hashlib.sha256()
    for path in (FETCH, *SUMS.values()):
        key.update(path.read_bytes())
    return key.hexdigest()[:16]


def _fill(folder: Path, packages: Path, java: Path) -> None:
    partial = folder.with_suffix(f".partial-{os.getpid()}")
    partial.mkdir()
    try:
        fetch_jars(FETCH, partial, packages, java)
        _check(partial)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check(folder: Path) -> None:
    for name, sums in SUMS.items():
        check_jars(folder / name, sums)
