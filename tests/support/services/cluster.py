"""Three brokers on this machine, of which each can be killed, stopped and started by itself.

Every topic has three copies, and a record counts as written when two brokers have it: one broker
may be gone at any time. Each node is a controller as well, so that a node that is left alone has no
quorum and waits for another.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.support.services.cache import Tools
from tests.support.services.kafka import LocalKafka, Node
from tests.support.services.problem import ServicesUnavailable
from tests.support.services.process import free_ports

BROKERS = 3
START_SECONDS_MAX = 90.0
ASK_SECONDS_MAX = 2.0
PAUSE_SECONDS = 0.1
CLUSTER_SETTINGS: Mapping[str, str] = {
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "min.insync.replicas": "2",
    "default.replication.factor": "3",
    "unclean.leader.election.enable": "false",
    # The controllers speak to each other before any of them knows what else is allowed.
    "super.users": "User:ANONYMOUS",
    # A broker that was killed is noticed soon, and one that is back takes part again soon.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "replica.lag.time.max.ms": "5000",
    "num.network.threads": "2",
    "num.io.threads": "4",
}


class LocalCluster:
    """Three brokers with fresh data folders; `brokers` has them in the order of their numbers."""

    def __init__(self, tools: Tools, settings: Mapping[str, str] | None = None) -> None:
        ports = free_ports(2 * BROKERS)
        controllers = tuple(ports[BROKERS:])
        self.brokers = [
            LocalKafka(
                tools,
                {**CLUSTER_SETTINGS, **(settings or {})},
                node=Node(number, port, controllers, heap="256m"),
            )
            for number, port in enumerate(ports[:BROKERS], 1)
        ]

    def bootstrap_servers(self) -> str:
        """The addresses of all brokers, whether they run or not."""
        return ",".join(broker.bootstrap_servers() for broker in self.brokers)

    def start(self) -> None:
        """Starts the brokers that do not run; returns when all of them serve."""
        self.start_brokers(self.brokers)

    def start_brokers(self, brokers: Sequence[LocalKafka]) -> None:
        """Starts some brokers side by side; returns when the cluster has them again."""
        for broker in brokers:
            broker.process.start()
        self.until_serving(brokers)

    def until_serving(self, brokers: Sequence[LocalKafka]) -> None:
        """Waits until each of the brokers says itself that the cluster has all of them."""
        wanted = {broker.node.number for broker in brokers}
        deadline = time.monotonic() + START_SECONDS_MAX
        for broker in brokers:
            admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers(), "log_level": 0})
            while not wanted <= _brokers(admin):
                _require_alive(broker, deadline)
                time.sleep(PAUSE_SECONDS)

    def until_in_sync(self) -> None:
        """Waits until each partition has all of its copies and a leader: before that,
        an operator restarts no further broker.
        """
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers(), "log_level": 0})
        deadline = time.monotonic() + START_SECONDS_MAX
        while _is_behind(admin):
            _require_alive(self.brokers[0], deadline)
            time.sleep(PAUSE_SECONDS)

    def restart_in_turn(self) -> None:
        """Restarts each broker by SIGTERM, the next one when all copies are whole again."""
        for broker in self.brokers:
            broker.stop()
            self.start_brokers([broker])
            self.until_in_sync()

    def close(self) -> None:
        """Ends the brokers side by side; may be called twice."""
        with ThreadPoolExecutor(BROKERS) as threads:
            list(threads.map(lambda broker: broker.close(), self.brokers))


def start_cluster(tools: Tools, settings: Mapping[str, str] | None = None) -> LocalCluster:
    """Three running brokers, to be closed."""
    cluster = LocalCluster(tools, settings)
    try:
        cluster.start()
    except BaseException:
        cluster.close()
        raise
    return cluster


def _brokers(admin: AdminClient) -> set[int]:
    with contextlib.suppress(KafkaException):
        return set(admin.list_topics(timeout=ASK_SECONDS_MAX).brokers)
    return set()


def _is_behind(admin: AdminClient) -> bool:
    try:
        topics = admin.list_topics(timeout=ASK_SECONDS_MAX).topics.values()
    except KafkaException:
        return True
    partitions = [partition for topic in topics for partition in topic.partitions.values()]
    return any(
        len(partition.isrs) < len(partition.replicas) or partition.leader < 0
        for partition in partitions
    )


def _require_alive(broker: LocalKafka, deadline: float) -> None:
    if broker.process.pid() is None:
        raise ServicesUnavailable(f"a broker has ended\n{broker.process.log_tail()}")
    if time.monotonic() > deadline:
        raise ServicesUnavailable(f"the cluster is not whole\n{broker.process.log_tail()}")
