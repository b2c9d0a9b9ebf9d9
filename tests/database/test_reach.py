"""`check` and the other commands on databases that cannot be used: real servers, real refusals."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from service.database.reach import target_of
from tests.support.commands import Commands


@pytest.fixture
async def silent_address() -> AsyncIterator[str]:
    """A server that takes connections, reads what comes and never says a word."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def findings(database_url: str, servers: str, **settings: str) -> dict[str, str]:
    commands = Commands(database_url, servers, **settings)
    rows = await commands.lines("check", code=1)
    return {str(row["subject"]): str(row["finding"]) for row in rows if row["verdict"] == "fault"}


async def test_check_says_why_a_database_cannot_be_used(
    empty_database_url: str, bootstrap_servers: str
) -> None:
    parts = urlsplit(empty_database_url)
    target = target_of(empty_database_url)
    user, password = f"nobody_{uuid4().hex[:8]}", "Geheim-1"
    nowhere = "postgresql://library:Geheim-1"
    cases = {
        parts._replace(path="/absent").geturl(): (
            f"there is no such database: user {target.user}, database absent at {target.address}"
        ),
        parts._replace(netloc=f"{user}:{password}@{target.address}").geturl(): user,
        f"{nowhere}@127.0.0.1:1/bursar": (
            "nobody listens there: user library, database bursar at 127.0.0.1:1"
        ),
        f"{nowhere}@no-such-host.invalid/bursar": (
            "the host cannot be resolved: "
            "user library, database bursar at no-such-host.invalid:5432"
        ),
        f"{empty_database_url}?sslmode=require": "the server does not offer TLS",
    }
    for url, words in cases.items():
        result = await findings(url, bootstrap_servers)
        assert words in result["database"], result
        assert password not in "".join(result.values())
        ended = await Commands(url, bootstrap_servers).call("parked", "list")
        assert (ended.exit_code, words in ended.stderr) == (1, True), ended.stderr
        assert len(ended.stderr.splitlines()) == 1


async def test_check_says_why_kafka_cannot_be_used(database_url: str, silent_address: str) -> None:
    quick = {"BURSAR_KAFKA_REQUEST_TIMEOUT_MS": "1000"}
    cases = {
        "127.0.0.1:1": "nobody listens there: Kafka at 127.0.0.1:1",
        "no-such-host.invalid:9092": (
            "the host cannot be resolved: Kafka at no-such-host.invalid:9092"
        ),
        silent_address: "the broker does not answer: does BURSAR_KAFKA_PROTOCOL fit it?: "
        f"Kafka at {silent_address}",
    }
    for servers, words in cases.items():
        assert (await findings(database_url, servers, **quick))["kafka"] == words
    sasl = {
        "BURSAR_KAFKA_PROTOCOL": "SASL_PLAINTEXT",
        "BURSAR_KAFKA_USER": "library",
        "BURSAR_KAFKA_PASSWORD": "Geheim-1",
    }
    result = await findings(database_url, "127.0.0.1:1", **quick, **sasl)
    assert result["kafka"] == "nobody listens there: Kafka at 127.0.0.1:1, user library"


async def test_a_role_without_rights_is_told_of_by_a_migration(
    empty_database_url: str, bootstrap_servers: str
) -> None:
    role = f"reader_{uuid4().hex[:8]}"
    connection = await asyncpg.connect(empty_database_url)
    try:
        await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'Geheim-1'")
        target = target_of(empty_database_url)
        url = f"postgresql://{role}:Geheim-1@{target.address}/{target.database}"
        ended = await Commands(url, bootstrap_servers).call("migrate")
    finally:
        await connection.execute(f"DROP ROLE {role}")
        await connection.close()
    assert ended.exit_code == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("bursar-bridge: the server refuses the user: permission denied")
    assert line.endswith(f": user {role}, database {target.database} at {target.address}")
