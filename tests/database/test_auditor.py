"""The auditor and `bursar-bridge audit` name each fault that is put in, and none in sound ledgers.

The outputs of these ledgers wait in the outbox; end_to_end/test_mixed_load.py has real topics.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import asyncpg
import pytest

from service.core.words import Kind
from service.database.session import Connection
from service.kafka.clients import new_reader, running
from service.operations.audit import Positions, audit_in
from service.operations.audit_findings import Audited
from service.restore.topics import Topics
from service.settings.access import KafkaAccess
from tests.auditor.inputs import Readings, read_records
from tests.auditor.judge import broken, judge
from tests.conftest import with_database
from tests.support.audited import AuditedLedger, mixed_ledger
from tests.support.corruptions import CORRUPTIONS, Corruption
from tests.support.services import Services
from tests.support.write_path import PREFIX, WritePath, write_path

SEED = 3
NOTHING = Positions({}, {}, {}, {})
# Records that wait have no time, so that they are of this one.
OF_A_LOST_TIME = NOTHING._replace(
    lost=((datetime(1969, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)),)
)


@asynccontextmanager
async def _database(services: Services, template: str) -> AsyncIterator[str]:
    name = f"bursar_audited_{uuid.uuid4().hex[:12]}"
    server = await asyncpg.connect(services.database_url)
    try:
        await server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
        yield with_database(services.database_url, name)
    finally:
        await server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await server.close()


@pytest.fixture(scope="module")
async def ledger(services: Services, database_template: str) -> AsyncIterator[AuditedLedger]:
    """A ledger that all tests share; each damages it in a transaction of its own."""
    async with _database(services, database_template) as url, write_path(url) as path:
        yield await mixed_ledger(path, SEED)


@pytest.fixture(scope="module")
def readings(ledger: AuditedLedger) -> Readings:
    """No fault is put into the input topics, so that they are read once."""
    return read_records(ledger.topics())


@pytest.fixture(scope="module")
async def topics(bootstrap_servers: str) -> AsyncIterator[Topics]:
    access = KafkaAccess(kafka_bootstrap_servers=bootstrap_servers)
    async with running(new_reader(access)) as reader:
        yield Topics(reader)


@asynccontextmanager
async def _rolled_back(ledger: AuditedLedger) -> AsyncIterator[Connection]:
    """A connection whose changes are taken back; constraints by triggers do not hold in it."""
    async with ledger.path.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute("SET LOCAL session_replication_role = replica")
            yield connection
        finally:
            await transaction.rollback()


async def _audited(
    connection: Connection, topics: Topics, positions: Positions = NOTHING
) -> Audited:
    return await audit_in(connection, topics, positions, PREFIX, 1_000, lambda *_: None)


async def test_a_sound_ledger_in_which_everything_happens_has_no_findings(
    ledger: AuditedLedger, topics: Topics, readings: Readings
) -> None:
    async with _rolled_back(ledger) as connection:
        evidence = await ledger.evidence(connection)
        assert broken(evidence, readings) == []
        audited = await _audited(connection, topics)
    assert audited.findings == ()
    totals = {total.contract: total for total in audited.topics}
    assert totals["balance-changed.v1"].waiting == totals["balance-changed.v1"].recorded > 100
    kinds = {row["kind"] for row in evidence.tables["ledger_transaction"]}
    assert kinds == set(Kind), "a ledger in which little happens would prove little"


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda each: each.name.replace(" ", "_"))
async def test_each_fault_is_named_by_the_auditor_and_by_the_command_if_it_can_be(
    ledger: AuditedLedger, topics: Topics, readings: Readings, corruption: Corruption
) -> None:
    async with _rolled_back(ledger) as connection:
        damaged = await corruption.apply(connection)
        findings = judge(await ledger.evidence(connection), readings)[corruption.invariant]
        audited = await _audited(connection, topics)
    named = [str(part) for finding in findings for part in finding.ids]
    assert any(damaged in part for part in named), (damaged, findings)
    kinds = {finding.kind for finding in audited.findings}
    assert (corruption.kind in kinds) if corruption.kind else not kinds
    assert (corruption.kind is None) == bool(corruption.why_not_detected)


@pytest.mark.parametrize(
    "corruption",
    [each for each in CORRUPTIONS if each.kind == "different"],
    ids=lambda each: each.name.replace(" ", "_"),
)
async def test_what_was_changed_is_found_in_what_a_recovery_has_passed_over(
    ledger: AuditedLedger, topics: Topics, corruption: Corruption
) -> None:
    """A lost database may have published a part of it; the rest is of this one."""
    async with _rolled_back(ledger) as connection:
        assert (await _audited(connection, topics, OF_A_LOST_TIME)).findings == ()
        await corruption.apply(connection)
        audited = await _audited(connection, topics, OF_A_LOST_TIME)
    assert {finding.kind for finding in audited.findings} == {"different"}


async def _has_no_findings(path: WritePath, seed: int) -> None:
    ledger = await mixed_ledger(path, seed)
    async with path.pool.acquire() as connection:
        assert broken(await ledger.evidence(connection)) == []


@pytest.mark.parametrize("seed", [101, 102])
async def test_sound_ledgers_have_no_findings(path: WritePath, seed: int) -> None:
    await _has_no_findings(path, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200, 250))
async def test_fifty_sound_ledgers_have_no_findings(path: WritePath, seed: int) -> None:
    await _has_no_findings(path, seed)
