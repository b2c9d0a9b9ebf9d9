"""Each way into a cluster with certificates, passwords and access lists, and what keeps one out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest
from confluent_kafka.admin._acl import AclOperation

from service.kafka.topics import INPUTS, OUTPUTS
from tests.support import inputs
from tests.support.commands import Commands
from tests.support.process import Site
from tests.support.services.cache import tools
from tests.support.services.secured import (
    PASSWORD,
    USER,
    SecuredBroker,
    group_right,
    topic_right,
)
from tests.support.topics import produce

FINE, BALANCES = "fine-created.v1", "balance-changed.v1"
CERTIFIED = "CN=bridge"
KEY_PASSWORD = "battery staple"


def started(folder: Path, protocol: str, *, asks_clients: bool = False) -> Iterator[SecuredBroker]:
    broker = SecuredBroker(tools(lambda _: None), folder, protocol, asks_clients=asks_clients)
    try:
        broker.start()
        yield broker
    finally:
        broker.close()


@pytest.fixture(scope="module")
def by_password(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """A broker whose clients need TLS and a password."""
    yield from started(tmp_path_factory.mktemp("by-password"), "SASL_SSL")


@pytest.fixture(scope="module")
def by_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """A broker whose clients need a certificate."""
    yield from started(tmp_path_factory.mktemp("by-certificate"), "SSL", asks_clients=True)


@pytest.fixture(scope="module")
def without_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """A broker whose clients need a password alone."""
    yield from started(tmp_path_factory.mktemp("without-tls"), "SASL_PLAINTEXT")


@pytest.fixture
async def site(database_url: str, group_id: str, tmp_path: Path) -> AsyncIterator[Site]:
    """Without the address of a broker."""
    site = Site(database_url, "", f"{group_id}.", group_id, tmp_path)
    yield site
    await site.end_all()


async def prepare(site: Site, broker: SecuredBroker, user: str = USER) -> None:
    """Topics, and all rights of the service that SECURITY.md lists."""
    site.servers = broker.kafka.bootstrap_servers()
    await site.command("topics", "create", "--partitions", "1")
    reads = [topic_right(site.topic(name), AclOperation.READ, user) for name in (*INPUTS, *OUTPUTS)]
    writes = [topic_right(site.topic(name), AclOperation.WRITE, user) for name in OUTPUTS]
    broker.allow([*reads, *writes, group_right(site.group, user)])


async def check_that_it_works(site: Site, settings: Mapping[str, str]) -> None:
    """A record is read, and what follows from it is sent."""
    site.settings = {**site.settings, **settings}
    await site.start()
    value, headers = inputs.structured(FINE, inputs.fine_created())
    await asyncio.to_thread(
        produce, site.servers, site.topic(FINE), [(b"key", value)], headers=headers
    )
    await site.until_idle(1)
    await site.stop()
    assert len(site.records(BALANCES)) == 1
    log = (site.folder / "one.log").read_text("utf-8")
    assert not any(password in log for password in (PASSWORD, KEY_PASSWORD))


def certified(broker: SecuredBroker, password: str | None = None) -> dict[str, str]:
    """The settings of a client with a certificate, whose key may be encrypted."""
    certificate, key = broker.authority.sign("bridge", password=password)
    return broker.settings() | {
        "BURSAR_KAFKA_CERTIFICATE_FILE": str(certificate),
        "BURSAR_KAFKA_KEY_FILE": str(key),
    }


async def findings(site: Site, settings: Mapping[str, str]) -> dict[str, str]:
    """What `check` finds fault with, by subject."""
    chosen = {**site.settings, "BURSAR_TOPIC_PREFIX": site.prefix, **settings}
    chosen["BURSAR_CONSUMER_GROUP"] = site.group
    servers = chosen.pop("KAFKA_BOOTSTRAP_SERVERS")
    commands = Commands(site.database_url, servers, **{k: v for k, v in chosen.items() if v})
    rows = [row for row in await commands.lines("check", code=1) if row["verdict"] == "fault"]
    assert PASSWORD not in str(rows)
    return {row["subject"]: row["finding"] for row in rows}


@pytest.mark.parametrize(
    "mechanism",
    [
        "SCRAM-SHA-512",
        pytest.param("SCRAM-SHA-256", marks=pytest.mark.slow),
        pytest.param("PLAIN", marks=pytest.mark.slow),
    ],
)
async def test_with_tls_and_a_password_from_a_file(
    site: Site, by_password: SecuredBroker, mechanism: str, tmp_path: Path
) -> None:
    await prepare(site, by_password)
    settings = {**by_password.settings(), "BURSAR_KAFKA_MECHANISM": mechanism}
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "BURSAR_KAFKA_PASSWORD").write_text(settings.pop("BURSAR_KAFKA_PASSWORD") + "\n")
    await check_that_it_works(site, {**settings, "BURSAR_SECRETS_DIR": str(secrets)})


@pytest.mark.slow
async def test_with_a_password_alone(site: Site, without_tls: SecuredBroker) -> None:
    await prepare(site, without_tls)
    await check_that_it_works(site, without_tls.settings())


@pytest.mark.slow
@pytest.mark.parametrize("password", [None, KEY_PASSWORD])
async def test_with_a_certificate(
    site: Site, by_certificate: SecuredBroker, password: str | None
) -> None:
    await prepare(site, by_certificate, CERTIFIED)
    settings = certified(by_certificate, password)
    if password is not None:
        result = await findings(site, settings)
        assert "TLS, of the BURSAR_KAFKA_..._FILE settings as a rule" in result["kafka"]
        settings |= {"BURSAR_KAFKA_KEY_PASSWORD": password}
    await check_that_it_works(site, settings)


def slow(*values: object) -> object:
    """A case that is tried with the long forms alone."""
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("settings", "finding"),
    [
        ({"BURSAR_KAFKA_CA_FILE": ""}, "the broker's certificate is not accepted"),
        ({"BURSAR_KAFKA_PASSWORD": "wrong"}, "the broker refuses the user"),
        slow({"BURSAR_KAFKA_USER": "nobody"}, "the broker refuses the user"),
        slow({"BURSAR_KAFKA_PROTOCOL": "SSL"}, "does BURSAR_KAFKA_PROTOCOL fit"),
        slow({"BURSAR_KAFKA_PROTOCOL": "PLAINTEXT"}, "does BURSAR_KAFKA_PROTOCOL fit"),
    ],
)
async def test_check_says_why_the_broker_cannot_be_used(
    site: Site, by_password: SecuredBroker, settings: Mapping[str, str], finding: str
) -> None:
    assert finding in (await findings(site, {**by_password.settings(), **settings}))["kafka"]


@pytest.mark.slow
async def test_check_says_that_a_certificate_is_missing(
    site: Site, by_certificate: SecuredBroker
) -> None:
    result = await findings(site, by_certificate.settings())
    assert "BURSAR_KAFKA_CERTIFICATE_FILE" in result["kafka"]


async def test_check_says_which_rights_are_missing(site: Site, by_password: SecuredBroker) -> None:
    await prepare(site, by_password)
    topic = site.topic(BALANCES)
    with by_password.without(topic_right(topic, AclOperation.WRITE)):
        result = await findings(site, by_password.settings())
        assert result == {"topics": f"{topic}: the service has no right to write to it"}
    with by_password.without(group_right(site.group)):
        result = await findings(site, by_password.settings())
        words = "the brokers do not let the service read in its consumer group"
        assert words in result["restore check"]
