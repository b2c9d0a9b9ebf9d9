"""The side of a member process that speaks to its parent: it sends reports, and stops the member
when the parent has ended.
"""

import asyncio
import contextlib
import os
import select
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Self

from prometheus_client import generate_latest

from ..runtime.lifecycle import OVERDUE_STATUS
from ..runtime.readiness import Readiness
from ..runtime.telemetry import Metrics
from .reports import Report

# Set by the parent: the member's number, and the descriptor of its end of a pair of sockets.
VARIABLE = "BURSAR_MEMBER"
REPORT_MS = 1_000
LAST_REPORT_SECONDS_MAX = 1


@dataclass(frozen=True, slots=True)
class Parent:
    """The connection of this process, which is the member `number`, to its parent process."""

    number: int
    descriptor: int

    @classmethod
    def of_this_process(cls) -> Self | None:
        """Returns the connection to the parent; None unless a parent has started this process as a
        member.
        """
        text = os.environ.pop(VARIABLE, None)
        return None if text is None else cls(*map(int, text.split(":")))

    def end_with_it(self, shutdown_seconds_max: int) -> None:
        """Makes this process stop within the given time when its parent ends, for whatever reason.

        A thread of its own waits for the end of the parent, so that this process ends even if its
        event loop hangs.
        """
        arguments = (os.dup(self.descriptor), shutdown_seconds_max)
        threading.Thread(target=_stop_without_parent, args=arguments, daemon=True).start()

    @contextlib.asynccontextmanager
    async def informed(self, readiness: Readiness, metrics: Metrics) -> AsyncIterator[None]:
        """Makes the readiness checks and reports them with the metrics to the parent every second
        for the duration of a `with` block, and once more at its end.
        """
        ours = socket.socket(fileno=self.descriptor)
        _, writer = await asyncio.open_unix_connection(sock=ours)
        reporting = asyncio.create_task(_report_on(writer, readiness, metrics))
        try:
            yield
        finally:
            reporting.cancel()
            await asyncio.wait((reporting,))
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(LAST_REPORT_SECONDS_MAX):
                    await _report(writer, readiness, metrics)
            writer.close()
            await readiness.close()


def _stop_without_parent(descriptor: int, seconds_max: int) -> None:
    waiting = select.poll()
    waiting.register(descriptor, 0)  # of nothing but that the other end is closed
    waiting.poll()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(seconds_max)
    os._exit(OVERDUE_STATUS)


async def _report_on(writer: asyncio.StreamWriter, readiness: Readiness, metrics: Metrics) -> None:
    with contextlib.suppress(OSError):  # the parent has gone, and the other thread stops the member
        while True:
            await _report(writer, readiness, metrics)
            await asyncio.sleep(REPORT_MS / 1_000)


async def _report(writer: asyncio.StreamWriter, readiness: Readiness, metrics: Metrics) -> None:
    findings = await readiness.findings()
    readiness.report(findings)
    writer.write(Report(findings, generate_latest(metrics.registry).decode()).encode())
    await writer.drain()
