"""The operators' port: /livez, /readyz and /metrics; checks are callables, registered."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from service.problems import OperatorError, summary
from service.telemetry import Event, Metrics, get_log

log = get_log(__name__)

CHECK_SECONDS_MAX = 3
KEPT_MS = 500  # probes from many sides must not become queries of as many

# None: all is well; else what is not, without values.
Check = Callable[[], Awaitable[str | None]]
Alive = Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; `problem` None: it passed."""

    check: str
    problem: str | None

    @property
    def ok(self) -> bool:
        return self.problem is None


class Ops:
    """Serves until closed. Readiness is asked of every check at once, each bounded in time."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._checks: dict[str, Check] = {}
        self._alive: dict[str, Alive] = {}
        self._asking = asyncio.Lock()
        self._latest: tuple[int, tuple[Finding, ...]] | None = None
        self._runner: web.AppRunner | None = None

    def register(self, name: str, check: Check) -> None:
        """Adds a readiness check; the same name again replaces it."""
        self._checks[name] = check
        self._latest = None

    def unregister(self, name: str) -> None:
        """Takes a check away whose time is over."""
        if self._checks.pop(name, None) is not None:
            with contextlib.suppress(KeyError):
                self._metrics.checks.remove(name)
        self._latest = None

    def register_alive(self, name: str, alive: Alive) -> None:
        """Adds a liveness check: must answer at once, from memory."""
        self._alive[name] = alive

    async def open(self, host: str, port: int) -> int:
        """Starts to serve; the port, which differs from 0. Raises OSError."""
        application = web.Application()
        application.router.add_get("/livez", self._livez)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._show_metrics)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        self._runner = runner
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        bound: int = runner.addresses[0][1]
        log.info(Event.OPS_LISTENING, host=host, port=bound)
        return bound

    @contextlib.asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[None]:
        """Serves for as long as the block lasts. Raises OperatorError."""
        try:
            await self.open(host, port)
        except OSError as problem:
            raise OperatorError(
                f"BURSAR_OPS_HOST, BURSAR_OPS_PORT: cannot listen: {problem.strerror}"
            ) from None
        try:
            yield
        finally:
            await self.close()

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def findings(self) -> tuple[Finding, ...]:
        """The checks' answers, at most half a second old."""
        async with self._asking:
            now_ms = time.monotonic_ns() // 1_000_000
            if self._latest is None or now_ms - self._latest[0] > KEPT_MS:
                asked = [_ask(name, check) for name, check in self._checks.items()]
                found = tuple(await asyncio.gather(*asked))
                self._latest = (time.monotonic_ns() // 1_000_000, found)
                self._count(found)
            return self._latest[1]

    def _count(self, found: tuple[Finding, ...]) -> None:
        for finding in found:
            self._metrics.checks.labels(finding.check).set(int(finding.ok))
        self._metrics.up.set(int(all(finding.ok for finding in found)))

    async def _livez(self, _request: web.Request) -> web.Response:
        """That this runs at all shows that the event loop turns."""
        return _answer([Finding(name, alive()) for name, alive in self._alive.items()])

    async def _readyz(self, _request: web.Request) -> web.Response:
        return _answer(await self.findings())

    async def _show_metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        body = encode(self._metrics.registry)
        return web.Response(body=body, headers={"Content-Type": content_type})


async def _ask(name: str, check: Check) -> Finding:
    try:
        async with asyncio.timeout(CHECK_SECONDS_MAX):
            problem = await check()
    except TimeoutError:
        problem = f"no answer within {CHECK_SECONDS_MAX} s"
    except Exception as error:  # noqa: BLE001 - whatever a check meets is its finding
        problem = summary(error)
    return Finding(name, problem)


def _answer(found: tuple[Finding, ...] | list[Finding]) -> web.Response:
    ok = all(finding.ok for finding in found)
    checks = {one.check: {"ok": one.ok, "problem": one.problem} for one in found}
    body = {"ok": ok, "checks": checks}
    return web.json_response(body, status=200 if ok else 503, headers={"Cache-Control": "no-store"})
