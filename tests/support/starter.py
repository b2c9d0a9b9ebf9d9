"""Forks the program `bursar-bridge` for tests from a process that has imported it already.

Starting Python and importing the service takes more than a second of CPU time, and the suite
starts the program hundreds of times. This process imports the service once and forks for each
start. A forked program is a process like any other, with arguments, environment and signals that
are only its own. `tests.support.programs` starts this process and speaks to it:

- standard input is a Unix socket. One byte on it asks for a program; with it come three
  descriptors: a socket for this program alone, its standard output and its standard error;
- the program's socket brings the order, one line of JSON, and takes back one line with the process
  id and, when the program has ended, one line with its exit code as `subprocess` counts it.

The end of standard input ends this process. Programs that still run are left alone.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import TypedDict

PROGRAM = "service"
# Alembic runs these files itself; they cannot be imported outside a migration.
NOT_IMPORTED = ("service.__main__", "service.database.migrations")
READ_BYTES = 65_536


class Order(TypedDict):
    """What a program is told."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str


@dataclass(frozen=True)
class Request:
    """An order and where its program writes, in the process that becomes the program."""

    order: Order
    output: int
    errors: int

    def become_program(self) -> None:
        """Runs the program as `python -m service` would; it ends by SystemExit."""
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (self.output, 1), (self.errors, 2)):
            os.dup2(source, target)
        for descriptor in (null, self.output, self.errors):
            os.close(descriptor)
        os.chdir(self.order["folder"])
        os.environ.clear()
        os.environ.update(self.order["environment"])
        time.tzset()
        # It reads the environment when it is imported.
        importlib.reload(sys.modules["service.runtime.process"])
        sys.argv = [PROGRAM, *self.order["arguments"]]
        runpy.run_module(PROGRAM, run_name="__main__", alter_sys=True)


@dataclass
class Starter:
    """The requests of one owner, until it closes its end of `control`."""

    control: socket.socket
    wake: socket.socket
    _running: dict[int, socket.socket] = field(default_factory=dict)

    def serve(self) -> Request | None:
        """None when the owner has gone; a request only in a process that was forked for it."""
        while True:
            ready, _, _ = select.select([self.control, self.wake], [], [])
            if self.wake in ready:
                self.wake.recv(READ_BYTES)
                self._report_ended()
            if self.control in ready:
                asked, descriptors, _, _ = socket.recv_fds(self.control, 1, 3)
                if not asked:
                    return None
                request = self._fork(*descriptors)
                if request is not None:
                    return request

    def _fork(self, channel: int, output: int, errors: int) -> Request | None:
        connection = socket.socket(fileno=channel)
        order: Order = json.loads(_line(connection))
        child = os.fork()
        if child == 0:
            self._leave_to_parent(connection)
            return Request(order, output, errors)
        os.close(output)
        os.close(errors)
        self._running[child] = connection
        connection.sendall(f"{child}\n".encode())
        return None

    def _leave_to_parent(self, connection: socket.socket) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in (self.control, self.wake, connection, *self._running.values()):
            each.close()

    def _report_ended(self) -> None:
        while self._running:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                return
            with self._running.pop(child) as connection:
                try:
                    connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
                except BrokenPipeError:
                    continue  # its test no longer waits for it


def _line(connection: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        received = connection.recv(READ_BYTES)
        if not received:
            raise EOFError("the order of a program ended in the middle")
        line += received
    return line


def _import_program() -> None:
    package = importlib.import_module(PROGRAM)
    for module in pkgutil.walk_packages(package.__path__, f"{PROGRAM}.", onerror=_not_importable):
        if not module.name.startswith(NOT_IMPORTED):
            importlib.import_module(module.name)
    gc.collect()
    gc.freeze()  # what is imported stays; programs need not look through it


def _not_importable(name: str) -> None:
    raise ImportError(f"{name} cannot be imported")


def main() -> None:
    wake, woken = socket.socketpair()
    for each in (wake, woken):
        each.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    control = socket.socket(fileno=os.dup(0))
    _import_program()
    request = Starter(control, wake).serve()
    if request is not None:
        woken.close()
        request.become_program()


if __name__ == "__main__":
    main()
