"""Kafka as a local process: one node, broker and controller in one (`cluster.py` has several)."""

from __future__ import annotations

import base64
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.services.cache import Tools
from tests.support.services.problem import ServicesUnavailable
from tests.support.services.process import GuardedProcess, free_ports
from tests.support.services.ready import wait_for_kafka

START_SECONDS_MAX = 90.0
PORT_ATTEMPTS_MAX = 3
# Start time counts more than peak speed, and a test's broker is small.
JAVA_OPTIONS = (
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


@dataclass(frozen=True, slots=True)
class Node:
    """The place of a broker in its cluster. `controllers` are the ports of all controllers, in the
    order of the numbers of their nodes, which begin with 1.
    """

    number: int
    port: int
    controllers: Sequence[int]
    heap: str = "512m"


class LocalKafka:
    """One broker with a fresh data folder in a temporary folder; alone, or a node of a cluster.

    With `proxy_port` it has another listener, on `proxied_port`, whose clients it sends to that
    port: what stands between them has to listen there.
    """

    def __init__(
        self,
        tools: Tools,
        settings: Mapping[str, str] | None = None,
        proxy_port: int | None = None,
        node: Node | None = None,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bursar-kafka-"))
        self.node = node or alone()
        self.port, (self.proxied_port,) = self.node.port, free_ports(1)
        proxied = {} if proxy_port is None else self._proxied(proxy_port)
        self._lay_out(tools, {**proxied, **(settings or {})})
        self.process = GuardedProcess(
            f"kafka-{self.node.number}",
            [
                str(tools.java),
                f"-Xmx{self.node.heap}",
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

    def _proxied(self, proxy_port: int) -> dict[str, str]:
        inside, outside = f"127.0.0.1:{self.port}", f"127.0.0.1:{self.proxied_port}"
        controller = f"127.0.0.1:{self.node.controllers[self.node.number - 1]}"
        return {
            "listeners": f"PLAINTEXT://{inside},PROXIED://{outside},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{inside},PROXIED://127.0.0.1:{proxy_port}",
            "listener.security.protocol.map": (
                "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT"
            ),
            "inter.broker.listener.name": "PLAINTEXT",
        }

    def _lay_out(self, tools: Tools, settings: Mapping[str, str]) -> None:
        data = self.folder / "data"
        shutil.copytree(tools.template, data)
        number, controllers = self.node.number, self.node.controllers
        _sign(data / "meta.properties", number)
        controller = f"CONTROLLER://127.0.0.1:{controllers[number - 1]}"
        properties = {
            "process.roles": "broker,controller",
            "node.id": str(number),
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.quorum.voters": ",".join(
                f"{voter}@127.0.0.1:{port}" for voter, port in enumerate(controllers, 1)
            ),
            "log.dirs": str(data),
        }
        lines = [
            f"{name}={value}"
            for name, value in {**BROKER_SETTINGS, **properties, **settings}.items()
        ]
        (self.folder / "server.properties").write_text("\n".join(lines) + "\n")
        (self.folder / "log4j2.properties").write_text(LOGGING)


def alone() -> Node:
    """The only node of a cluster, at ports that were free a moment ago."""
    port, controller = free_ports(2)
    return Node(1, port, (controller,))


def _sign(properties: Path, number: int) -> None:
    """Makes the template's data folder that of a node: with its number and an id of its own."""
    directory = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    text = re.sub(r"(?m)^node\.id=.*$", f"node.id={number}", properties.read_text())
    properties.write_text(re.sub(r"(?m)^directory\.id=.*$", f"directory.id={directory}", text))


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
