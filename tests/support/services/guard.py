"""Keeps one server and the folder of its data: when whoever started it is gone, so are both.

Run as a script. The first line of standard input is a `GuardOrder` in JSON (no argument: it has an
environment, and arguments are public); commands follow, each is answered by one line on standard
output:

    start   starts the server         started PID
    stop    asks it to end            stopped CODE
    kill    ends it by SIGKILL        stopped CODE
    poll    how is it?                running PID | stopped CODE

The end of standard input means that the owner left or died, by whatever signal: the server is
stopped and the folders in `remove` are deleted. Standard library only, so that it starts in
milliseconds.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TypedDict

PR_SET_PDEATHSIG = 1
OWNER_CHECK_SECONDS = 1.0


class GuardOrder(TypedDict):
    """What a guard is told once. `user` and `group` are ids, or None for the owner's own."""

    command: list[str]
    environment: dict[str, str]
    folder: str
    log: str
    user: int | None
    group: int | None
    stop_signal: int
    death_signal: int
    grace_seconds: float
    remove: list[str]


class Guard:
    def __init__(self, order: GuardOrder) -> None:
        self.order = order
        self.server: subprocess.Popen[bytes] | None = None
        self.owner = os.getppid()

    def run(self, wake: int) -> None:
        try:
            self._obey(wake)
        finally:
            self.stop()
            for folder in self.order["remove"]:
                shutil.rmtree(folder, ignore_errors=True)

    def _obey(self, wake: int) -> None:
        pending = b""
        while os.getppid() == self.owner:
            ready, _, _ = select.select([0, wake], [], [], OWNER_CHECK_SECONDS)
            if wake in ready and set(os.read(wake, 64)) - {signal.SIGCHLD}:
                return
            if 0 not in ready:
                continue
            received = os.read(0, 4096)
            if not received:
                return
            *lines, pending = (pending + received).split(b"\n")
            for line in lines:
                print(self.answer(line.decode()), flush=True)

    def answer(self, command: str) -> str:
        match command:
            case "start":
                return self.start()
            case "stop":
                self.stop()
            case "kill":
                self.kill()
            case "poll":
                pass
            case unknown:
                return f"unknown {unknown}"
        return self.state()

    def state(self) -> str:
        if self.server is None:
            return "stopped 0"
        code = self.server.poll()
        return f"running {self.server.pid}" if code is None else f"stopped {code}"

    def start(self) -> str:
        if self.server is not None and self.server.poll() is None:
            return self.state()
        order = self.order
        with Path(order["log"]).open("ab") as log:
            self.server = subprocess.Popen(
                order["command"],
                env=order["environment"],
                cwd=order["folder"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(order["death_signal"]),  # noqa: PLW1509 - one thread
                **credentials(order),
            )
        return f"started {self.server.pid}"

    def stop(self) -> None:
        if self.server is None or self.server.poll() is not None:
            return
        self.server.send_signal(signal.SIGCONT)
        self.server.send_signal(self.order["stop_signal"])
        try:
            self.server.wait(self.order["grace_seconds"])
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        if self.server is not None and self.server.poll() is None:
            self.server.kill()
            self.server.wait()


class Credentials(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def credentials(order: GuardOrder) -> Credentials:
    if order["user"] is None or order["group"] is None:
        return {}
    return {"user": order["user"], "group": order["group"], "extra_groups": []}


def die_with_parent(death_signal: int) -> None:
    """On Linux this process gets the signal when its parent ends, even by SIGKILL."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal)


def first_line() -> bytes:
    """Not through a buffer, which would swallow the commands behind it."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return line


def main() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    Guard(json.loads(first_line())).run(read)


if __name__ == "__main__":
    main()
