"""Runs the service with a signal that blocks its event loop: `python -m tests.faults.blocking run`.

SIGUSR1 keeps the main thread, and so the loop, for BLOCKED_SECONDS of the environment. The switch
is here, and not in the service, where nobody should find it.
"""

from __future__ import annotations

import os
import runpy
import signal
import threading
from types import FrameType

from tests.faults.members import PROGRAM

MODULE = "tests.faults.blocking"
SECONDS = "BLOCKED_SECONDS"


def block(_number: int, _frame: FrameType | None) -> None:
    """Returns after the time; nothing else runs in this thread meanwhile."""
    threading.Event().wait(float(os.environ[SECONDS]))


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, block)
    runpy.run_module(PROGRAM, run_name="__main__", alter_sys=True)
