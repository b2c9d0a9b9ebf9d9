"""Finds out how many CPU cores this process may use, from its CPU affinity and the quotas of its
Linux control groups.
"""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

SYSTEM = Path("/")
# The folders of both versions of control groups, and in which files each has quota and period.
FOLDERS = {
    "": ("sys/fs/cgroup", ("cpu.max",)),
    "cpu": ("sys/fs/cgroup/cpu", ("cpu.cfs_quota_us", "cpu.cfs_period_us")),
}


def usable_cores(system: Path = SYSTEM) -> int:
    """Returns how many processes of this program can compute at the same time, at least 1.

    A quota of two and a half cores counts as two. `system` is the root folder, which contains
    `proc` and `sys`.
    """
    return max(1, min([_cores_of_affinity(), *_quotas(system)]))


def _cores_of_affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # not Linux


def _quotas(system: Path) -> Iterator[int]:
    """The whole cores that the process's control groups grant, and those around them, if any is
    limited.
    """
    for membership in _text(system / "proc/self/cgroup").splitlines():
        _, controllers, path = membership.split(":", 2)
        for controller in controllers.split(","):
            if controller in FOLDERS:
                folder, files = FOLDERS[controller]
                yield from _quotas_along(system / folder, path, files)


def _quotas_along(folder: Path, path: str, files: tuple[str, ...]) -> Iterator[int]:
    """Of the group at `path` and of each group around it; in a container, whose path may be that
    of the host, only the folder itself is there.
    """
    group = PurePosixPath(path.lstrip("/"))
    for part in {group, *group.parents}:
        words = " ".join(_text(folder / part / file) for file in files).split()
        if len(words) == 2 and words[0].isdigit():  # else "max" or -1: no limit
            yield int(words[0]) // int(words[1])


def _text(file: Path) -> str:
    try:
        return file.read_text("ascii")
    except OSError:
        return ""
