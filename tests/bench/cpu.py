"""What the processes of a measurement cost the processor, per event: read from /proc (Linux alone).

It is whole-machine accounting by the name of the program: whatever else runs on the machine counts
as well, so that the figures mean something on a quiet machine only.
"""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
# The program's name as the kernel knows it, and what it is here. Threads of Kafka have other names.
POSTGRES, KAFKA, MEASURED = "postgres", "kafka", "service"
_NAMES = {"postgres": POSTGRES, "java": KAFKA}
_IDLE = slice(3, 5)  # of the first line of /proc/stat: idle, and idle while a disk is waited for
_COUNTED = 8  # the time of guests is part of the time before it
_PARENT = 1  # behind the name: the process that has started it
_TIMES = slice(11, 15)  # behind the name: user, system, and both of children that have ended


@dataclass(frozen=True)
class Usage:
    """Ticks of the clock since the start of each program, and of all cores."""

    by_part: Mapping[str, int]
    idle: int
    all_cores: int


@dataclass(frozen=True)
class Cost:
    """Microseconds of the processor per event, and the share of all cores that was idle."""

    service: float
    postgres: float
    kafka: float
    idle: float


NOTHING = Usage({}, 0, 0)


def usage(measured: Mapping[int, str]) -> Usage:
    """What was used until now. `measured` are the ids of the processes that are measured; those
    that they have started count with them.
    """
    if not PROC.exists():
        return NOTHING
    parts: Counter[str] = Counter()
    for folder in PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            head, _, rest = (folder / "stat").read_text().rpartition(")")
        except OSError:  # it has ended meanwhile
            continue
        fields = rest.split()
        started = measured.get(int(folder.name)) or measured.get(int(fields[_PARENT]))
        part = started or _NAMES.get(head.partition("(")[2])
        if part is not None:
            parts[part] += sum(map(int, fields[_TIMES]))
    ticks = [int(text) for text in (PROC / "stat").read_text().splitlines()[0].split()[1:]]
    return Usage(parts, sum(ticks[_IDLE]), sum(ticks[:_COUNTED]))


def cost(before: Usage, after: Usage, events: int) -> Cost:
    """What was used between two moments, per event."""

    def microseconds(part: str) -> float:
        ticks = after.by_part.get(part, 0) - before.by_part.get(part, 0)
        return ticks * 1_000_000 / os.sysconf("SC_CLK_TCK") / events

    cores = after.all_cores - before.all_cores
    return Cost(
        microseconds(MEASURED),
        microseconds(POSTGRES),
        microseconds(KAFKA),
        (after.idle - before.idle) / cores if cores else 0.0,
    )
