"""A worker of Kafka Connect with the sink in it, on the topic and the database of a measurement.

It is set as one would set it for much load: large polls and batches, one statement for each batch,
the heap and the collector of Connect's own script.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.bench.ledgers import POLL
from tests.bench.load import FINE
from tests.bench.peers.jars import ConnectFiles
from tests.bench.peers.rows import KEY, TABLE, jdbc_settings, schema
from tests.bench.world import World
from tests.support.services.kafka import LOGGING, plain_environment
from tests.support.services.process import GuardedProcess

GRACE_SECONDS = 30.0
JAVA_OPTIONS = (
    "-Xms256M",
    "-Xmx2G",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
)
WORKER_SETTINGS: Mapping[str, str] = {
    "listeners": "http://127.0.0.1:0",  # any free port; nobody asks it
    "plugin.discovery": "service_load",
    "key.converter": "org.apache.kafka.connect.storage.StringConverter",
    "value.converter": "org.apache.kafka.connect.json.JsonConverter",
    "value.converter.schemas.enable": "true",
    "consumer.isolation.level": "read_committed",
    "consumer.max.poll.records": str(POLL),
    "consumer.max.partition.fetch.bytes": str(8 * 1024 * 1024),
}
# A row that comes again replaces itself: after a crash the worker reads some records again.
SINK_SETTINGS: Mapping[str, str] = {
    "name": "sink",
    "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
    "collection.name.format": TABLE,
    "schema.evolution": "none",
    "insert.mode": "upsert",
    "primary.key.mode": "record_value",
    "primary.key.fields": ",".join(KEY),
    "batch.size": str(POLL),
    "dialect.postgres.unnest.insert.enabled": "true",
}


@asynccontextmanager
async def running_sink(
    world: World, files: ConnectFiles, tasks: int
) -> AsyncIterator[GuardedProcess]:
    """A worker whose connector has so many tasks; ended by SIGTERM."""
    folder = Path(tempfile.mkdtemp(prefix="bursar-connect-"))
    try:
        process = await asyncio.to_thread(_new_process, world, files, tasks, folder)
        try:
            await asyncio.to_thread(process.start)
            yield process
        finally:
            await asyncio.to_thread(process.close)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _new_process(world: World, files: ConnectFiles, tasks: int, folder: Path) -> GuardedProcess:
    worker = {
        **WORKER_SETTINGS,
        "bootstrap.servers": world.services.kafka_bootstrap_servers,
        "plugin.path": str(files.plugins),
        "offset.storage.file.filename": str(folder / "offsets"),
        "value.converter.schema.content": schema(),
    }
    sink = {
        **SINK_SETTINGS,
        **jdbc_settings(world.database_url),
        "topics": world.topic_prefix + FINE,
        "tasks.max": str(tasks),
        "consumer.override.group.id": world.group,
    }
    for name, settings in (("worker", worker), ("sink", sink)):
        (folder / f"{name}.properties").write_text(properties(settings))
    (folder / "log4j2.properties").write_text(LOGGING)
    return GuardedProcess(
        f"bench-sink-{tasks}",
        [
            str(files.java),
            *JAVA_OPTIONS,
            f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}",
            *("-cp", f"{files.jars}/*"),
            "org.apache.kafka.connect.cli.ConnectStandalone",
            *(str(folder / f"{name}.properties") for name in ("worker", "sink")),
        ],
        folder=folder,
        remove=[folder],
        environment=plain_environment(),
        grace_seconds=GRACE_SECONDS,
    )


def properties(settings: Mapping[str, str]) -> str:
    """The text of a file that Java reads as these settings."""
    escaped = {name: text.replace("\\", "\\\\") for name, text in settings.items()}
    return "".join(f"{name}={text}\n" for name, text in escaped.items())
