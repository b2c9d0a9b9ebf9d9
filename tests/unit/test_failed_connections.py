"""What TLS connections leave that could not be made does not fill the memory.

A broker whose certificate has expired is asked again ten times a second by each client.
"""

from __future__ import annotations

import subprocess
import sys
import time
import weakref
from unittest import mock

import pytest

from service.consumer.contact import FAILING_NS, Contact
from service.runtime.telemetry import Metrics

GROWN_MB_MAX = 200
COLLECTED_MB_MAX = 60

# The server is none of TLS: what fails is the handshake, as with a certificate that has expired.
FAILS = """
import asyncio, ssl, sys
from pathlib import Path
import service.app
from service.kafka.clients import options
from service.runtime.process import collect_failed_connections, collect_garbage_seldom
from service.settings.access import KafkaAccess

def megabytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 1_000_000

async def main():
    collect_garbage_seldom()
    access = KafkaAccess(kafka_bootstrap_servers="x:1", kafka_protocol="SSL")
    context = options(access)["ssl_context"]
    server = await asyncio.start_server(lambda _, w: w.write(b"no TLS" * 9), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    before, peak = megabytes(), 0
    for number in range(1_500):
        try:
            await asyncio.open_connection("127.0.0.1", port, ssl=context)
        except ssl.SSLError:
            pass
        if number % 40 == 0 and "collect" in sys.argv:
            collect_failed_connections()
        peak = max(peak, megabytes())
    print(peak - before)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("arguments", "most"), [((), GROWN_MB_MAX), (("collect",), COLLECTED_MB_MAX)]
)
def test_connections_that_fail_take_little_memory(arguments: tuple[str, ...], most: int) -> None:
    command = (sys.executable, "-W", "ignore", "-c", FAILS, *arguments)
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert int(result.stdout) < most


class Cycle(list["Cycle"]):
    """As a connection that failed: it refers to itself."""

    def __init__(self) -> None:
        self.append(self)


@pytest.mark.parametrize(("silence_ns", "is_left"), [(0, True), (FAILING_NS, False)])
def test_while_no_broker_answers_what_they_leave_is_collected(
    silence_ns: int, is_left: bool
) -> None:
    watch = Contact((), Metrics())
    now_ns = time.monotonic_ns()
    left = weakref.ref(Cycle())
    with mock.patch.object(time, "monotonic_ns", return_value=now_ns + silence_ns):
        watch.update()
    assert (left() is not None) == is_left
