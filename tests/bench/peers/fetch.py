"""Fetches Connect and the sink: `python fetch.py FOLDER`, with jgo importable.

FOLDER/connect gets the worker of Apache Kafka Connect, FOLDER/plugins/sink Debezium's connector
without what the worker has, and without the drivers of other databases. As for the broker, each `!`
holds back the versions that the coordinate manages for others. Both are under the Apache License
2.0; the drivers that are left out have other licences.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from jgo.env import EnvironmentBuilder, EnvironmentSpec
from jgo.maven import MavenContext

CONNECT = (
    "org.apache.kafka:connect-runtime:4.3.1!",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.26.1!",
)
# Of the Hibernate that the connector asks for, a later patch release. Its pool is named by the
# group that it has now, because jgo follows no relocation.
SINK = (
    "io.debezium:debezium-connector-jdbc:3.6.0.Final!",
    "org.hibernate.orm:hibernate-core:7.2.19.Final!",
    "org.hibernate.orm:hibernate-agroal:7.2.19.Final!",
)
NOT_OF_THE_SINK = (
    "org.hibernate:hibernate-agroal",
    "org.apache.kafka:connect-api",
    "org.apache.kafka:kafka-clients",
    "org.slf4j:slf4j-api",
    "com.fasterxml.jackson.core:jackson-annotations",
    "com.fasterxml.jackson.core:jackson-core",
    "com.fasterxml.jackson.core:jackson-databind",
    "com.mysql:mysql-connector-j",
    "org.mariadb.jdbc:mariadb-java-client",
    "com.microsoft.sqlserver:mssql-jdbc",
    "com.oracle.database.jdbc:ojdbc11",
)


def main(folder: Path) -> None:
    mirror = os.environ.get("MAVEN_REPOSITORY")
    context = MavenContext(
        repo_cache=Path(os.environ["M2_REPO"]),
        remote_repos={"central": mirror} if mirror else None,
    )
    builder = EnvironmentBuilder(context=context, cache_dir=folder / "jgo")
    _fetch(builder, folder / "connect", CONNECT)
    _fetch(builder, folder / "plugins" / "sink", SINK, NOT_OF_THE_SINK)
    shutil.rmtree(folder / "jgo")


def _fetch(
    builder: EnvironmentBuilder,
    target: Path,
    coordinates: Sequence[str],
    exclusions: Sequence[str] = (),
) -> None:
    spec = EnvironmentSpec(coordinates=list(coordinates), exclusions=list(exclusions))
    target.mkdir(parents=True)
    for jar in builder.from_spec(spec).all_jars:
        shutil.copy(jar, target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
