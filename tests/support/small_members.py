"""Members that do what a test asks for, for tests of the parent alone: small programs without the
service, which start at once.

    command = small_member(folder, "report(5)\\nuntil_asked()\\n")
"""

from __future__ import annotations

import sys
from pathlib import Path

PROGRAM = """
import json, os, signal, socket, sys, time

number, descriptor = map(int, os.environ["BURSAR_MEMBER"].split(":"))
parent = socket.socket(fileno=descriptor)
folder = sys.argv[1]
runs = len([name for name in os.listdir(folder) if name.startswith(f"start-{number}-")]) + 1
open(f"{folder}/start-{number}-{runs}-{os.getpid()}", "w").close()

def report(polls=0, problem=None):
    global again
    again = polls, problem
    text = f"# TYPE bursar_polls_total counter\\nbursar_polls_total {polls}\\n"
    parent.sendall(json.dumps([[["kafka", problem, False]], text]).encode() + b"\\n")

def until_asked():
    while not signal.sigtimedwait({signal.SIGTERM}, 0.5):
        report(*again)

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
"""


def small_member(folder: Path, body: str) -> list[str]:
    """The command of a member that runs `body`, which has `number`, `runs`, `report` and
    `until_asked`.

    `until_asked` repeats the last report until SIGTERM; `report` takes the number of polls and what
    is wrong with Kafka. `runs` is 1 at the first start of the member. Each start leaves a file,
    whose name `starts` reads.
    """
    return [sys.executable, "-S", "-c", PROGRAM + body, str(folder)]


def starts(folder: Path, number: int) -> list[int]:
    """The process ids of the member's starts, in their order."""
    names = [path.name.split("-") for path in folder.glob(f"start-{number}-*")]
    return [int(pid) for _, pid in sorted((int(runs), pid) for _, _, runs, pid in names)]
