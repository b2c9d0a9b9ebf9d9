"""The operators' port answers what it is asked, by named checks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import asyncpg
import pytest

from service.runtime import readiness as readiness_module
from service.runtime.health_port import HealthPort
from service.runtime.readiness import Reporting
from service.runtime.telemetry import Metrics


@pytest.fixture
async def ops() -> AsyncIterator[HealthPort]:
    served = HealthPort(Metrics())
    yield served
    await served.close()


async def get(ops: HealthPort, path: str) -> tuple[int, str, str]:
    """Status, content type, body."""
    port = await ops.open("127.0.0.1", 0)
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as response,
    ):
        return response.status, response.content_type, await response.text()


async def fine() -> str | None:
    return None


async def test_ready_when_every_check_passes(ops: HealthPort) -> None:
    ops.readiness.register("database", fine)
    status, kind, body = await get(ops, "/readyz")
    assert (status, kind) == (200, "application/json")
    assert body == '{"ok": true, "checks": {"database": {"ok": true, "problem": null}}}'


async def test_not_ready_names_the_check_and_the_problem(ops: HealthPort) -> None:
    async def behind() -> str | None:
        return "no partition is assigned"

    ops.readiness.register("database", fine)
    ops.readiness.register("intake", behind)
    status, _, body = await get(ops, "/readyz")
    assert status == 503
    assert '"intake": {"ok": false, "problem": "no partition is assigned"}' in body


async def test_a_check_that_raises_fails_without_quoting(ops: HealthPort) -> None:
    async def broken() -> str | None:
        raise asyncpg.UndefinedTableError("relation of Erika Beispiel")

    ops.readiness.register("database", broken)
    status, _, body = await get(ops, "/readyz")
    assert status == 503
    assert "UndefinedTableError" in body
    assert "Erika" not in body


async def test_a_check_without_an_answer_fails_in_time(
    ops: HealthPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent() -> str | None:
        await asyncio.Event().wait()
        return None

    ops.readiness.register("database", silent)
    (first,) = await ops.readiness.findings()
    assert first.problem == "no answer yet"
    monkeypatch.setattr(readiness_module, "CHECK_SECONDS_MAX", 0)
    monkeypatch.setattr(readiness_module, "KEPT_MS", -1)
    (late,) = await ops.readiness.findings()
    assert late.problem == "no answer within 0 s"


async def test_the_first_probe_after_a_check_began_to_hang_is_answered_while_it_hangs(
    ops: HealthPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness_module, "KEPT_MS", -1)
    asked, hanging, ended = [], asyncio.Event(), []

    async def check() -> str | None:
        asked.append(1)
        if len(asked) > 1:
            await hanging.wait()
            ended.append(1)
        return None

    ops.readiness.register("database", check)
    assert (await ops.readiness.findings())[0].ok
    # However long a check may be silent before it fails, the probe does not wait for it.
    monkeypatch.setattr(readiness_module, "CHECK_SECONDS_MAX", 3_600)
    status, _, _ = await get(ops, "/readyz")
    assert (status, len(asked), ended) == (200, 2, [])
    monkeypatch.setattr(readiness_module, "CHECK_SECONDS_MAX", 0)
    (late,) = await ops.readiness.findings()
    assert (late.problem, len(asked), ended) == ("no answer within 0 s", 2, [])
    hanging.set()
    assert (await ops.readiness.findings())[0].ok


async def test_a_check_that_is_advisory_is_shown_and_leaves_the_process_ready(
    ops: HealthPort,
) -> None:
    metrics = ops.readiness._metrics
    ops.readiness.register("database", fine)
    ops.readiness.register("settings", lambda: "too short", Reporting(is_advisory=True))
    status, _, body = await get(ops, "/readyz")
    assert status == 200
    assert '"settings": {"ok": false, "problem": "too short"}' in body
    sample = metrics.registry.get_sample_value
    assert (sample("bursar_check_ok", {"check": "settings"}), sample("bursar_ready")) == (0, 1)


async def test_many_probes_ask_once(ops: HealthPort) -> None:
    asked = []

    async def counted() -> str | None:
        asked.append(1)
        return None

    ops.readiness.register("database", counted)
    await asyncio.gather(*(ops.readiness.findings() for _ in range(20)))
    assert len(asked) == 1


async def test_liveness_does_not_depend_on_readiness(ops: HealthPort) -> None:
    async def unavailable() -> str | None:
        return "away"

    ops.readiness.register("database", unavailable)
    status, _, _ = await get(ops, "/livez")
    assert status == 200


async def test_metrics_show_the_checks(ops: HealthPort) -> None:
    ops.readiness.register("started", fine)
    ops.readiness.register("database", fine)
    await ops.readiness.findings()
    ops.readiness.unregister("started")
    status, kind, body = await get(ops, "/metrics")
    assert (status, kind) == (200, "text/plain")
    assert 'bursar_check_ok{check="database"} 1.0' in body
    assert "started" not in body
