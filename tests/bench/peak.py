"""The most memory a process has held."""

import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak_mb() -> float:
    """Of this process, since it began or since `forget_peak`.

    Not ru_maxrss where it can be helped: a child's begins with what its parent held at the fork.
    """
    if STATUS.exists():
        lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / 1024
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def forget_peak() -> float:
    """From here on only what comes is counted; what is held now."""
    if STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")
    return peak_mb()
