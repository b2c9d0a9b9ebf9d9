"""The most memory a process has held."""

import resource
import sys
from pathlib import Path

PROC = Path("/proc")
ITSELF = PROC / "self"


def peak_mb() -> float:
    """Of this process, since it began or since `forget_peak`.

    Not ru_maxrss where it can be helped: a child's begins with what its parent held at the fork.
    """
    if ITSELF.exists():
        return _peak_mb(ITSELF)
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def forget_peak() -> float:
    """From here on only what comes is counted; what is held now."""
    if ITSELF.exists():
        (ITSELF / "clear_refs").write_text("5")
    return peak_mb()


def highest_peak_mb(pid: int) -> float:
    """The highest peak of the processes that run: this one, and those that descend from it.

    It is 0 for a process that has ended, and where there is no /proc.
    """
    folder = PROC / str(pid)
    try:
        peak = _peak_mb(folder)
        children = [file.read_text().split() for file in folder.glob("task/*/children")]
    except OSError:  # it has ended meanwhile
        return 0.0
    return max([peak, *(highest_peak_mb(int(child)) for each in children for child in each)])


def _peak_mb(folder: Path) -> float:
    lines = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
    return int(lines.get("VmHWM", "0 kB").split()[0]) / 1024  # none of a process that is ending
