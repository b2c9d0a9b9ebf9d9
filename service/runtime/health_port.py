"""The health port, which serves /livez, /readyz and /metrics."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from .problems import OperatorError
from .readiness import Finding, Others, Readiness, none
from .telemetry import Event, Metrics, get_log

log = get_log(__name__)


class HealthPort:
    """The HTTP server for health probes and metrics; `readiness` has the readiness checks that it
    shows.

    `shown` has the metrics that the server shows, if these are not `metrics`; `others` returns the
    findings of other processes, which it also shows.
    """

    def __init__(
        self, metrics: Metrics, shown: Collector | None = None, others: Others = none
    ) -> None:
        self._shown = shown or metrics.registry
        self.readiness = Readiness(metrics, others)
        self._runner: web.AppRunner | None = None

    async def open(self, host: str, port: int) -> int:
        """Starts the server and returns its port; for port 0 the operating system chooses a free
        one. Raises OSError.
        """
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
        """Runs the server, and repeats the readiness checks, for the duration of a `with` block.
        Raises OperatorError.
        """
        try:
            await self.open(host, port)
        except OSError as problem:
            raise OperatorError(
                f"BURSAR_OPS_HOST, BURSAR_OPS_PORT: cannot listen: {problem.strerror}"
            ) from None
        watching = asyncio.create_task(self.readiness.watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait((watching,))
            await self.close()

    async def close(self) -> None:
        """Closes the port, if it is open."""
        await self.readiness.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _livez(self, _request: web.Request) -> web.Response:
        """The answer alone shows that the process and its event loop run.

        A restart would mend nothing else: whatever else is wrong is a matter of readiness.
        """
        return _response(())

    async def _readyz(self, _request: web.Request) -> web.Response:
        return _response(await self.readiness.findings())

    async def _show_metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        body = encode(self._shown)
        return web.Response(body=body, headers={"Content-Type": content_type})


def _response(findings: tuple[Finding, ...]) -> web.Response:
    ok = all(finding.allows_work for finding in findings)
    checks = {finding.check: {"ok": finding.ok, "problem": finding.problem} for finding in findings}
    body = {"ok": ok, "checks": checks}
    return web.json_response(body, status=200 if ok else 503, headers={"Cache-Control": "no-store"})
