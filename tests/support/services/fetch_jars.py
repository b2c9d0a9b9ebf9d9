"""Fetches the broker's jars into FOLDER/jars: `python fetch_jars.py FOLDER`, with jgo importable.

jgo resolves as Maven does, in Python. Each `!` holds back the versions that the coordinate manages
for others: without it log4j's list would replace Kafka's own clients by those of an older release.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import jgo

ENDPOINT = "org.apache.kafka:kafka_2.13:4.3.1!+org.apache.logging.log4j:log4j-slf4j-impl:2.26.1!"


def main(folder: Path) -> None:
    mirror = os.environ.get("MAVEN_REPOSITORY")
    environment = jgo.build(
        ENDPOINT,
        cache_dir=folder / "jgo",
        repositories={"central": mirror} if mirror else None,
    )
    (folder / "jars").mkdir()
    for jar in environment.all_jars:
        shutil.copy(jar, folder / "jars")
    shutil.rmtree(folder / "jgo")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
