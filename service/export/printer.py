"""Prints and proves the batches of a run. A process beside the exporter does it for large batches
if there are cores for it, because it is the largest part of the work that an export can give away.

The process beside is never needed: whatever becomes of it, the exporter prints the batch itself.
"""

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Final, TypeAlias

from ..runtime.cores import usable_cores
from ..runtime.telemetry import Event, get_log
from .batch import Batch
from .xml.proof import Printed, print_proved
from .xml.worker import Answer, packed, program

if TYPE_CHECKING:
    Worker: TypeAlias = Connection[bytes, Answer]
else:
    Worker = Connection

WORKER: Final = f"{__package__}.xml.worker"
FINES_MIN: Final = 500
# On two cores, PostgreSQL and the broker beside take what it would use: there it gained nothing.
CORES_MIN: Final = 3
# Starting the process takes half a second of processor time, as much as it saves in ten batches. So
# a run that has made as many is likely to be worth it, and a shorter one loses nothing.
BATCHES_BEFORE: Final = 10
# Ten times as long as it takes on a busy machine. A batch holds locks while it waits.
ANSWER_MS_MIN: Final = 10_000
ANSWER_MS_PER_FINE: Final = 1
LOSSES_MAX: Final = 2
HELD_BACK: Final = frozenset((signal.SIGINT, signal.SIGTERM))
# What the process needs of our environment; passwords are not among it.
PASSED_ON: Final = ("PATH", "LD_LIBRARY_PATH")

log = get_log(__name__)


class WorkerLost(Exception):
    """The process beside is another program, or could not print what it was given."""


class Printer:
    """Prints batches; to be called from threads, because it blocks.

    `cores` is the number of cores that the process may use: with one or two there is no process
    beside; there is none either for the first `batches_before` large batches of a run. A process
    beside that does not answer is given up after `answer_ms_min` milliseconds, and one more for
    each fine.
    """

    def __init__(
        self,
        cores: int | None = None,
        batches_before: int = BATCHES_BEFORE,
        answer_ms_min: int = ANSWER_MS_MIN,
    ) -> None:
        self._has_cores = (usable_cores() if cores is None else cores) >= CORES_MIN
        # Now, as the process starts: later the files may be those of another release.
        self._program = program() if self._has_cores else b""
        self._batches_before = batches_before
        self._answer_ms_min = answer_ms_min
        self._turn = threading.Lock()  # a batch that was given up may still be printed in a thread
        self._change = threading.Lock()
        self._is_lent = False
        self._losses = 0
        self._batches = 0
        self._beside: _Beside | None = None

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Lends the printer to a run: there is a process beside in the `with` block alone."""
        with self._change:
            self._is_lent, self._losses, self._batches = True, 0, 0
        try:
            yield
        finally:
            with self._change:
                self._is_lent = False
            self._end()

    def print_proved(self, batch: Batch, *, is_last: bool = False) -> Printed:
        """Prints and proves a batch, as the function of this name, and with the same errors.

        The last batch of a run does not start the process beside, because nothing would follow.
        """
        answer = None
        if self._has_cores and len(batch.lines) >= FINES_MIN:
            with self._turn:
                answer = self._ask(batch, is_last)
        return answer or print_proved(batch)

    def _ask(self, batch: Batch, is_last: bool) -> Printed | None:
        """The answer of the process beside; None while it starts, and if it is lost or failed."""
        beside = self._beside
        try:
            if beside is not None:
                milliseconds = self._answer_ms_min + len(batch.lines) * ANSWER_MS_PER_FINE
                return beside.ask(batch, milliseconds) if beside.is_ready() else None
            self._batches += 1
            is_long = self._batches > self._batches_before and not is_last
            if is_long and self._is_lent and self._losses < LOSSES_MAX:
                self._begin()
        except Exception as problem:
            log.warning(Event.PRINTER_LOST, exc_info=problem)
            self._losses += 1
            self._end()  # an answer that comes later must not be taken for that of another batch
        return None

    def _begin(self) -> None:
        beside = _Beside(self._program)
        with self._change:
            if self._is_lent:
                self._beside = beside
                return
        beside.end()  # the run has ended meanwhile

    def _end(self) -> None:
        with self._change:
            beside, self._beside = self._beside, None
        if beside is not None:
            beside.end()


class _Beside:
    """The process beside, and our end of the connection to it.

    Its methods raise EOFError, OSError or WorkerLost if it cannot start, has ended or failed.
    """

    def __init__(self, program: bytes) -> None:
        self._program = program
        self._socket, theirs = socket.socketpair()
        try:
            with theirs, _signals_held_back():
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", WORKER, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    env=_environment(),
                )
        except BaseException:
            self._socket.close()
            raise
        self._worker: Worker = Connection(os.dup(self._socket.fileno()))
        self._is_ready = False

    def is_ready(self) -> bool:
        """Whether it has started."""
        if not self._is_ready and self._worker.poll():
            if self._worker.recv() != self._program:
                raise WorkerLost("another release was installed since the exporter was started")
            self._is_ready = True
        return self._is_ready

    def ask(self, batch: Batch, milliseconds: int) -> Printed:
        """Returns its answer; waits so long for it to take the batch, and again to answer."""
        seconds, rest = divmod(milliseconds, 1_000)
        limit = struct.pack("ll", seconds, rest * 1_000)
        for each in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            self._socket.setsockopt(socket.SOL_SOCKET, each, limit)
        self._worker.send_bytes(packed(batch))
        answer = self._worker.recv()
        if not isinstance(answer, tuple):
            raise WorkerLost("the batch could not be printed")
        return answer

    def end(self) -> None:
        """Kills the process, which has nothing to keep: whoever waits for its answer gets an error
        at once, and closes the rest of the connection by letting go of it.
        """
        self._process.kill()
        self._process.wait()
        self._socket.close()


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """A process that is started in the `with` block does not end by the signals that end ours.

    They are often sent to a whole group of processes, and the exporter may still need an answer.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _environment() -> Mapping[str, str]:
    """What Python needs to find the same modules and time zones as we do."""
    names = [name for name in os.environ if name in PASSED_ON or name.startswith("PYTHON")]
    places = [place for place in sys.path if os.pathsep not in place]
    return {name: os.environ[name] for name in names} | {"PYTHONPATH": os.pathsep.join(places)}
