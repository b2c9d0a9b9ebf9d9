"""Kafka as a local process: one node, broker and controller in one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.support.services.cache import Tools
from tests.support.services.problem import ServicesUnavailable
from tests.support.services.process import GuardedProcess, free_ports
from tests.support.services.ready import wait_for_kafka

START_SECONDS_MAX = 90.0
PORT_ATTEMPTS_MAX = 3
# Start time counts more than peak speed, and a test's broker is small.
JAVA_OPTIONS = (
    "-Xmx512m",
    "-Xss512k",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
)
# Whatever the source of a broker for tests is, it has these.
BROKER_SETTINGS: Mapping[str, str] = {
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "min.insync.replicas": "1",
    "default.replication.factor": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # A killed broker may register again only when its old session has ended.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "200",
    # Each test has topics of its own, and each partition costs open files: deleted means gone.
    "log.segment.delete.delay.ms": "1000",
    "log.cleaner.dedupe.buffer.size": "16777216",
    # Everybody may do everything, but for what a test denies on a topic of its own.
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}
LOGGING = """\
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = info
"""


class LocalKafka:
    """One broker with a fresh data folder in a temporary folder."""

    def __init__(self, tools: Tools, settings: Mapping[str, str] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bursar-kafka-"))
        self.port, self._controller_port = free_ports(2)
        self._lay_out(tools, settings or {})
        self.process = GuardedProcess(
            "kafka",
            [
                str(tools.java),
                *JAVA_OPTIONS,
                f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}",
                "-cp",
                f"{tools.jars}/*",
                "kafka.Kafka",
                str(self.folder / "server.properties"),
            ],
            folder=self.folder,
            remove=[self.folder],
            environment=plain_environment(),
        )

    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts the broker and waits until it serves."""
        self.process.start()
        wait_for_kafka(
            self.bootstrap_servers(),
            START_SECONDS_MAX,
            alive=lambda: self.process.pid() is not None,
        )

    def stop(self) -> None:
        """Ends the broker by SIGTERM; the data stay, `start` brings it back at the same address."""
        self.process.stop()

    def kill(self) -> None:
        """Ends the broker by SIGKILL; the data stay."""
        self.process.kill()

    def close(self) -> None:
        self.process.close()

    def _lay_out(self, tools: Tools, settings: Mapping[str, str]) -> None:
        data = self.folder / "data"
        shutil.copytree(tools.template, data)
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "log.dirs": str(data),
        }
        lines = [
            f"{name}={value}"
            for name, value in {**BROKER_SETTINGS, **properties, **settings}.items()
        ]
        (self.folder / "server.properties").write_text("\n".join(lines) + "\n")
        (self.folder / "log4j2.properties").write_text(LOGGING)


def plain_environment() -> dict[str, str]:
    """Without the variables that change a JVM or a broker behind our back."""
    unwanted = ("KAFKA_", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}


def start_kafka(tools: Tools) -> LocalKafka:
    """A running broker, to be closed; other ports are tried if somebody took ours meanwhile."""
    for attempt in range(1, PORT_ATTEMPTS_MAX + 1):
        broker = LocalKafka(tools)
        try:
            broker.start()
        except BaseException as problem:
            log = broker.process.log_tail()
            broker.close()
            if not isinstance(problem, ServicesUnavailable):
                raise
            if attempt == PORT_ATTEMPTS_MAX or "Address already in use" not in log:
                raise ServicesUnavailable(f"{problem}\n{log}") from problem
        else:
            return broker
    raise AssertionError("the last attempt returns or raises")
