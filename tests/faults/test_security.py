"""Certificates, passwords and access rights fail under load, and come back.

The instances come through a listener with TLS, SCRAM and access lists; the load, the commands and
the judges through another one, where everybody may do everything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from confluent_kafka.admin._acl import AclBinding, AclOperation

from service.kafka.topics import INPUTS, OUTPUTS
from tests.faults.operator import checked, until_logged, until_named, until_well
from tests.faults.report import Row
from tests.faults.stage import MANY_EVENTS, MANY_IN_FLIGHT, Stage, staged
from tests.support.services.authority import Authority
from tests.support.services.cache import tools
from tests.support.services.secured import PASSWORD, SecuredBroker, group_right, topic_right

NAMES = ("one", "two")
# One worker has them all, and with them the broker.
pytestmark = pytest.mark.xdist_group("secured broker")
OLD_SECONDS = "5"
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """For the rows of this module, one after the other."""
    broker = SecuredBroker(tools(lambda _: None), tmp_path_factory.mktemp("certificates"))
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


@dataclass(frozen=True)
class Secured:
    """A stage whose instances need certificates, passwords and rights."""

    stage: Stage
    broker: SecuredBroker

    @property
    def settings(self) -> dict[str, str]:
        """Of the instances alone."""
        return self.broker.settings() | {"BURSAR_OUTBOX_AGE_ALARM_SECONDS": OLD_SECONDS}

    def topic_right(self, contract: str, operation: AclOperation) -> AclBinding:
        """The service's right to a contract's topic."""
        return topic_right(self.stage.site.topic(contract), operation)

    @property
    def group_right(self) -> AclBinding:
        """The service's right to its group."""
        return group_right(self.stage.site.group)

    def rights(self) -> list[AclBinding]:
        """All that the service needs, as SECURITY.md says."""
        reads = [self.topic_right(name, AclOperation.READ) for name in (*INPUTS, *OUTPUTS)]
        writes = [self.topic_right(name, AclOperation.WRITE) for name in OUTPUTS]
        return [*reads, *writes, self.group_right]

    async def named(self, fault: AbstractContextManager[None], check: str, words: str) -> None:
        """A fault lasts until each instance has told of it, and `check` as well."""
        with fault:
            await until_named(self.stage, check, words)
            if check == "kafka":
                status, text = await checked(self.stage, self.settings)
                assert (status, words in text) == (1, True), text
        await until_well(self.stage)


@pytest.fixture
async def secured(
    row: Row, database_url: str, broker: SecuredBroker, tmp_path: Path
) -> AsyncIterator[Secured]:
    """Two instances at work, with the rights that they need and no others."""
    servers = broker.kafka.bootstrap_servers()
    async with staged(row, database_url, servers, tmp_path) as stage:
        stage.in_flight_min = MANY_IN_FLIGHT
        secured = Secured(stage, broker)
        await stage.prepare()
        broker.allow(secured.rights())
        await stage.start(*NAMES, settings=secured.settings)
        yield secured


@contextmanager
def other_certificate(broker: SecuredBroker, key_store: Path) -> Iterator[None]:
    """The broker shows it inside the block."""
    broker.show(key_store)
    try:
        yield
    finally:
        broker.show(broker.key_store)


@contextmanager
def other_password(broker: SecuredBroker) -> Iterator[None]:
    """The service's user has another one inside the block."""
    broker.set_password("changed")
    try:
        yield
    finally:
        broker.set_password(PASSWORD)


def expired(broker: SecuredBroker) -> AbstractContextManager[None]:
    return other_certificate(broker, broker.authority.key_store("expired", -HOUR))


def untrusted(broker: SecuredBroker) -> AbstractContextManager[None]:
    folder = broker.authority.file.parent / "other"
    return other_certificate(broker, Authority(folder).key_store("untrusted"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        pytest.param(
            expired,
            "the broker's certificate has expired",
            marks=pytest.mark.fault("certificate-expired"),
        ),
        pytest.param(
            untrusted,
            "the broker's certificate is not accepted",
            marks=pytest.mark.fault("certificate-not-trusted"),
        ),
        pytest.param(
            other_password,
            "the broker refuses the user",
            marks=pytest.mark.fault("password-wrong"),
        ),
    ],
)
async def test_a_broker_that_cannot_be_used_is_named_with_the_cause(
    secured: Secured, fault: Callable[[SecuredBroker], AbstractContextManager[None]], words: str
) -> None:
    async def fails() -> None:
        secured.stage.row.count(fault.__name__.replace("_", " "))
        await secured.named(fault(secured.broker), "kafka", words)

    await secured.stage.under_load(fails, MANY_EVENTS)


@pytest.mark.slow
@pytest.mark.fault("right-to-write-taken-away")
async def test_records_of_a_topic_that_may_not_be_written_wait(secured: Secured) -> None:
    """None of them is put into quarantine, and what belongs to other topics is sent."""

    async def withdrawn() -> None:
        secured.stage.row.count("right to write taken away")
        right = secured.topic_right("balance-changed.v1", AclOperation.WRITE)
        with secured.broker.without(right):
            words = "the brokers do not let the service write to it"
            await until_named(secured.stage, "output_topics", words, by_all=False)
            await until_logged(secured.stage, "outbox_old")
        await until_well(secured.stage)

    await secured.stage.under_load(withdrawn, MANY_EVENTS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("contract", "check"),
    [
        pytest.param(
            "fine-created.v1", "topics", marks=pytest.mark.fault("right-to-read-taken-away")
        ),
        pytest.param(
            "export-batch.v1",
            "topic_settings",
            marks=pytest.mark.fault("right-to-check-taken-away"),
        ),
    ],
)
async def test_a_topic_that_may_not_be_read_is_named(
    secured: Secured, contract: str, check: str
) -> None:
    """An output topic is read only to know that the database is not an older one, which is asked
    when an instance joins the group: until then the lack is a warning.
    """
    right = secured.topic_right(contract, AclOperation.READ)

    async def withdrawn() -> None:
        secured.stage.row.count("right to read taken away")
        await secured.named(secured.broker.without(right), check, contract)

    await secured.stage.under_load(withdrawn, MANY_EVENTS)


@pytest.mark.slow
@pytest.mark.fault("right-to-group-taken-away")
async def test_a_group_that_may_not_be_read_is_named(secured: Secured) -> None:
    async def withdrawn() -> None:
        secured.stage.row.count("right to the group taken away")
        words = "the brokers do not let the service read in its consumer group"
        await secured.named(secured.broker.without(secured.group_right), "intake", words)

    await secured.stage.under_load(withdrawn, MANY_EVENTS)
