"""Prints and proves the batches of a run. A process beside the exporter does it for large batches
if there is a second core, because it is the largest part of the work that an export can give away.

The process beside is never needed. If it was lost, hangs or reports an error, the exporter prints
the batch itself. It ends when the exporter closes its connection or ends, however that ends.
"""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Final, TypeAlias

from ..runtime.cores import usable_cores
from ..runtime.telemetry import Event, get_log
from .batch import Batch
from .xml.worker import READY, Answer, Printed, packed, print_proved

if TYPE_CHECKING:
    Worker: TypeAlias = Connection[bytes, Answer]
else:
    Worker = Connection

WORKER: Final = f"{__package__}.xml.worker"
# Starting the process takes half a second of processor time, as long as printing 5 000 fines.
FINES_MIN: Final = 500
# Ten times as long as it takes on a busy machine. A batch holds locks while it waits.
ANSWER_MS_MIN: Final = 10_000
ANSWER_MS_PER_FINE: Final = 1
END_SECONDS_MAX: Final = 1

log = get_log(__name__)


class Printer:
    """Prints batches, one at a time; to be called from threads, because it blocks.

    `cores` is the number of cores that the process may use: with a single one there is no process
    beside. A process beside that does not answer is killed after `answer_ms_min` milliseconds, and
    one more for each fine.
    """

    def __init__(self, cores: int | None = None, answer_ms_min: int = ANSWER_MS_MIN) -> None:
        self._has_cores = (usable_cores() if cores is None else cores) > 1
        self._answer_ms_min = answer_ms_min
        self._beside: _Beside | None = None
        self._turn = threading.Lock()

    def print_proved(self, batch: Batch, *, is_last: bool = False) -> Printed:
        """Prints and proves a batch, as the function of this name, and with the same errors.

        The last batch of a run does not start the process beside, because nothing would follow.
        """
        answer = None
        if self._has_cores and len(batch.lines) >= FINES_MIN:
            with self._turn:
                answer = self._ask(batch, is_last)
        return answer or print_proved(batch)

    @contextlib.asynccontextmanager
    async def lent(self) -> AsyncIterator[None]:
        """Ends the process beside at the end of the `with` block, in which a run prints batches."""
        try:
            yield
        finally:
            if self._beside is not None:
                await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Ends the process beside; the next large batch starts it anew."""
        with self._turn:
            self._end()

    def _ask(self, batch: Batch, is_last: bool) -> Printed | None:
        """The answer of the process beside; None while it starts, and if it is lost or failed."""
        milliseconds = self._answer_ms_min + len(batch.lines) * ANSWER_MS_PER_FINE
        try:
            if self._beside is None:
                self._beside = None if is_last else _Beside()
            elif self._beside.is_ready():
                return self._beside.ask(batch, milliseconds)
        except (EOFError, OSError) as problem:
            log.warning(Event.PRINTER_LOST, exc_info=problem)
            self._end()
        return None

    def _end(self) -> None:
        beside, self._beside = self._beside, None
        if beside is not None:
            beside.end()


class _Beside:
    """The process beside, and our end of the connection to it.

    Its methods raise EOFError or OSError if it cannot start, or has ended.
    """

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", WORKER, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            )
            self._worker: Worker = Connection(ours.detach())
        self._is_ready = False

    def is_ready(self) -> bool:
        """Whether it has started."""
        if not self._is_ready and self._worker.poll():
            self._is_ready = self._worker.recv() == READY
        return self._is_ready

    def ask(self, batch: Batch, milliseconds: int) -> Printed | None:
        """Returns its answer, or kills it after so many milliseconds."""
        with self._killed_after(milliseconds):
            self._worker.send_bytes(packed(batch))
            answer = self._worker.recv()
        return answer if isinstance(answer, tuple) else None

    def end(self) -> None:
        """Closes the connection, upon which the process ends; kills it if it does not."""
        self._worker.close()
        try:
            self._process.wait(END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @contextlib.contextmanager
    def _killed_after(self, milliseconds: int) -> Iterator[None]:
        """Kills the process if the `with` block takes longer, so that what waits for it in the
        block fails.
        """
        timer = threading.Timer(milliseconds / 1_000, self._process.kill)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
