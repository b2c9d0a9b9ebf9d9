"""A server process that cannot outlive its owner: `guard.py` stands between the two."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.services.guard import GuardOrder
from tests.support.services.problem import ServicesUnavailable

GUARD = Path(__file__).with_name("guard.py")
LOGS = Path(__file__).resolve().parents[3] / "var" / "services"
LOGS_KEPT = 40
ANSWER_SECONDS_MAX = 60.0


class GuardedProcess:
    """One server under guard. `close`, or the owner's death, stops it and deletes `remove`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        folder: Path,
        remove: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
        user: tuple[int, int] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        death_signal: signal.Signals = signal.SIGKILL,
        grace_seconds: float = 10.0,
    ) -> None:
        self.name = name
        self.log = log_file(name)
        order = GuardOrder(
            command=list(command),
            environment=dict(os.environ if environment is None else environment),
            folder=str(folder),
            log=str(self.log),
            user=None if user is None else user[0],
            group=None if user is None else user[1],
            stop_signal=stop_signal,
            death_signal=death_signal,
            grace_seconds=grace_seconds,
            remove=[str(each) for each in remove],
        )
        with self.log.open("ab") as log:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", str(GUARD)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the owner, who closes its servers in order
            )

        self._send(json.dumps(order))

    def start(self) -> int:
        """Starts the server if it does not run; returns its process id."""
        return self._ask("start")[1]

    @property
    def guard_pid(self) -> int:
        """The guard's process id."""
        return self._guard.pid

    def stop(self) -> None:
        """Ends the server as its operator would; its data stay."""
        self._ask("stop")

    def kill(self) -> None:
        """Ends the server by SIGKILL; its data stay."""
        self._ask("kill")

    def pid(self) -> int | None:
        """The server's process id, None when it does not run."""
        state, number = self._ask("poll")
        return number if state == "running" else None

    def close(self) -> None:
        """Stops the server and deletes its folders. May be called twice."""
        for pipe in (self._guard.stdin, self._guard.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._guard.wait(ANSWER_SECONDS_MAX)

    def log_tail(self, lines: int = 15) -> str:
        """The end of the server's log, for messages to developers."""
        if not self.log.exists():
            return "(no log)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _send(self, line: str) -> None:
        assert self._guard.stdin is not None
        self._guard.stdin.write(line.encode() + b"\n")
        self._guard.stdin.flush()

    def _ask(self, command: str) -> tuple[str, int]:
        stdout = self._guard.stdout
        assert stdout is not None
        self._send(command)
        if not select.select([stdout], [], [], ANSWER_SECONDS_MAX)[0]:
            raise ServicesUnavailable(f"the guard of {self.name} does not answer; see {self.log}")
        answer = stdout.readline().decode().split()
        if len(answer) != 2:
            raise ServicesUnavailable(f"the guard of {self.name} ended; see {self.log}")
        return answer[0], int(answer[1])


def log_file(name: str) -> Path:
    """A log of its own for each start; the oldest go."""
    LOGS.mkdir(parents=True, exist_ok=True)
    for old in sorted(LOGS.glob("*.log"), key=lambda path: path.name)[:-LOGS_KEPT]:
        old.unlink(missing_ok=True)
    started = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    return LOGS / f"{started}-{os.getpid()}-{name}.log"


@contextlib.contextmanager
def held_ports(count: int) -> Iterator[list[int]]:
    """Different free ports of the loopback interface, held until the block ends."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        yield [each.getsockname()[1] for each in sockets]


def free_ports(count: int) -> list[int]:
    """Ports free a moment ago; whoever binds them must be ready to try others."""
    with held_ports(count) as ports:
        return ports
