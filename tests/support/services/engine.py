"""PostgreSQL and Kafka as containers; testcontainers' reaper clears them away if we cannot."""

from __future__ import annotations

import contextlib
import gc
import secrets
import time
import warnings
from collections.abc import Callable, Iterator

import docker
from docker.errors import DockerException, ImageNotFound
from requests.exceptions import RequestException
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from tests.support.services.kafka import BROKER_SETTINGS
from tests.support.services.problem import ServicesUnavailable
from tests.support.services.ready import wait_for_kafka, wait_for_postgres

POSTGRES_IMAGE = "postgres:18"
KAFKA_IMAGE = "apache/kafka:4.3.1"
ENGINE_SECONDS_MAX = 10
PULL_SILENCE_SECONDS_MAX = 15
PULL_SECONDS_MAX = 300.0
START_SECONDS_MAX = 90.0

Progress = Callable[[str], None]


def why_absent(tell: Progress) -> str | None:
    """None if an engine answers and has all images, pulled if need be; else what is missing.

    The reaper's image counts: without it a killed test run would leave its containers.
    """
    if not _answers():
        return "no container engine answers"
    with contextlib.closing(docker.from_env(timeout=ENGINE_SECONDS_MAX)) as client:
        reaper = [] if testcontainers_config.ryuk_disabled else [testcontainers_config.ryuk_image]
        for image in (POSTGRES_IMAGE, KAFKA_IMAGE, *reaper):
            try:
                client.images.get(image)
            except ImageNotFound:
                if not _pull(image, tell):
                    return f"its engine has no image {image} and cannot pull it"
    return None


def _answers() -> bool:
    # docker leaves the socket of a failed connection to the garbage collector, which warns of it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            with contextlib.closing(docker.from_env(timeout=ENGINE_SECONDS_MAX)) as client:
                return bool(client.ping())
        except (DockerException, RequestException):
            return False
        finally:
            gc.collect()


def _pull(image: str, tell: Progress) -> bool:
    """False after silence, after the deadline, or when the engine says that it cannot."""
    tell(f"pulling {image}")
    deadline = time.monotonic() + PULL_SECONDS_MAX
    try:
        with contextlib.closing(docker.from_env(timeout=PULL_SILENCE_SECONDS_MAX)) as client:
            for event in client.api.pull(image, stream=True, decode=True):
                if "error" in event or time.monotonic() > deadline:
                    return False
            client.images.get(image)
    except (DockerException, RequestException):
        return False
    return True


@contextlib.contextmanager
def containers(
    postgres: bool, kafka: bool, tell: Progress
) -> Iterator[tuple[str | None, str | None]]:
    """Running containers: the database's URL, the broker's address; None for what is not asked."""
    tell("starting containers")
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(PostgresContainer()) if postgres else None
        broker = stack.enter_context(KafkaContainer()) if kafka else None
        if database is not None:
            wait_for_postgres(database.url(), START_SECONDS_MAX, alive=database.alive)
        if broker is not None:
            wait_for_kafka(broker.bootstrap_servers(), START_SECONDS_MAX, alive=broker.alive)
        yield (
            None if database is None else database.url(),
            None if broker is None else broker.bootstrap_servers(),
        )


class ServiceContainer(DockerContainer):
    """What both have in common."""

    def address(self, port: int) -> str:
        """Where the port of the container is to be reached from here."""
        return f"{self.get_container_host_ip()}:{self.get_exposed_port(port)}"

    def alive(self) -> bool:
        container = self.get_wrapped_container()
        container.reload()
        return bool(container.status == "running")


class PostgresContainer(ServiceContainer):
    def __init__(self) -> None:
        super().__init__(POSTGRES_IMAGE)
        self._password = secrets.token_hex(16)
        self.with_exposed_ports(5432)
        self.with_env("POSTGRES_PASSWORD", self._password)
        self.with_command("postgres -c max_connections=200")

    def url(self) -> str:
        return f"postgresql://postgres:{self._password}@{self.address(5432)}/postgres"


class KafkaContainer(ServiceContainer):
    """The broker has to say where clients find it, which is known only when its port is published:
    so the container waits for a file with the address before it starts the broker.
    """

    ADVERTISED = "/tmp/advertised"

    def __init__(self) -> None:
        super().__init__(KAFKA_IMAGE)
        environment = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "listeners": "CLIENTS://:9092,INSIDE://:9093,CONTROLLER://:9094",
            "listener.security.protocol.map": ",".join(
                f"{listener}:PLAINTEXT" for listener in ("CLIENTS", "INSIDE", "CONTROLLER")
            ),
            "inter.broker.listener.name": "INSIDE",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": "1@localhost:9094",
        }
        self.with_exposed_ports(9092)
        self.with_env("KAFKA_HEAP_OPTS", "-Xmx512m")
        for name, value in {**BROKER_SETTINGS, **environment}.items():
            self.with_env("KAFKA_" + name.upper().replace(".", "_"), value)
        self.with_command(
            f"sh -c 'until [ -s {self.ADVERTISED} ]; do sleep 0.1; done; "
            f"export KAFKA_ADVERTISED_LISTENERS=$(cat {self.ADVERTISED}); "
            "exec /etc/kafka/docker/run'"
        )

    def bootstrap_servers(self) -> str:
        return self.address(9092)

    def start(self) -> KafkaContainer:
        super().start()
        listeners = f"CLIENTS://{self.bootstrap_servers()},INSIDE://localhost:9093"
        file = self.ADVERTISED
        code, output = self.exec(
            ["sh", "-c", f"echo {listeners} > {file}.new; mv {file}.new {file}"]
        )
        if code != 0:
            raise ServicesUnavailable(f"the Kafka container took no address: {output!r}")
        return self
