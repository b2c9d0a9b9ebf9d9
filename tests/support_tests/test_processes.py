"""Servers under guard end with their owner, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.services.problem import ServicesUnavailable
from tests.support.services.process import GuardedProcess

ROOT = Path(__file__).resolve().parents[2]
SECONDS_MAX = 20.0
OWNER = """
import signal, sys
from pathlib import Path
# A job in the background of a script begins with SIGINT ignored, and so do its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
from tests.support.services.process import GuardedProcess
folder = Path(sys.argv[1])
server = GuardedProcess("sleeper", ["sleep", "600"], folder=folder, remove=[folder])
print(server.start(), server.guard_pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_server_ends_with_its_owner_whatever_signal_ends_that(
    tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    with owner_of_a_server(folder) as (owner, server, guard):
        assert alive(server)
        owner.send_signal(number)
        eventually(lambda: not alive(server) and not alive(guard) and not folder.exists())


if sys.platform == "linux":  # no other system tells a child of its parent's end

    def test_a_server_ends_with_its_guard(tmp_path: Path) -> None:
        with owner_of_a_server(tmp_path) as (_, server, guard):
            os.kill(guard, signal.SIGKILL)
            eventually(lambda: not alive(server))


def test_a_stopped_server_keeps_its_folder_and_starts_again(tmp_path: Path) -> None:
    server = sleeper(tmp_path)
    try:
        first = server.start()
        assert server.pid() == first == server.start()
        server.stop()
        assert server.pid() is None
        second = server.start()
        assert second != first
        server.kill()
        assert server.pid() is None
        assert tmp_path.exists()
    finally:
        server.close()
    assert not tmp_path.exists()
    server.close()


def test_a_server_that_ignores_its_stop_signal_is_killed(tmp_path: Path) -> None:
    stubborn = [sys.executable, "-c", "import signal; print('up', flush=True); signal.pause()"]
    server = GuardedProcess(
        "stubborn", stubborn, folder=tmp_path, stop_signal=signal.SIGCONT, grace_seconds=0.1
    )
    try:
        pid = server.start()
        server.stop()
        assert not alive(pid)
    finally:
        server.close()


def test_a_program_that_is_not_there_is_named_in_the_log(tmp_path: Path) -> None:
    server = GuardedProcess("nothing", [str(tmp_path / "nothing")], folder=tmp_path)
    try:
        with pytest.raises(ServicesUnavailable, match=server.log.name):
            server.start()
        eventually(lambda: "FileNotFoundError" in server.log_tail())
    finally:
        server.close()


def sleeper(folder: Path) -> GuardedProcess:
    return GuardedProcess("sleeper", ["sleep", "600"], folder=folder, remove=[folder])


@contextmanager
def owner_of_a_server(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """A process that has a server under guard, and the ids of server and guard."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        server, guard = map(int, owner.stdout.readline().split())
        try:
            yield owner, server, guard
        finally:
            owner.kill()


def alive(pid: int) -> bool:
    """Zombies are not."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return state != "" and not state.startswith("Z")


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
