"""Small file systems that can be filled: for the rows of full disks, which need root."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BLOCK = bytes(64 * 1024)
FILLER = ".filler"


class SmallDisk:
    """A mounted file system; `fill` takes all that is left of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        """Writes until nothing more fits."""
        with (self.folder / FILLER).open("ab", buffering=0) as file:
            size = len(BLOCK)
            while size:
                try:
                    file.write(BLOCK[:size])
                except OSError as problem:
                    if problem.errno != errno.ENOSPC:
                        raise
                    size //= 2

    def free(self) -> None:
        """Takes away what `fill` has written."""
        (self.folder / FILLER).unlink()

    def set_read_only(self, is_read_only: bool) -> None:
        """Mounts it again, so that it can be written or not."""
        mode = "ro" if is_read_only else "rw"
        subprocess.run(["mount", "-o", f"remount,{mode}", str(self.folder)], check=True)


@contextmanager
def small_disk(folder: Path, mib: int, user: tuple[int, int] | None = None) -> Iterator[SmallDisk]:
    """A file system of this size at a new folder; `user` owns it. Not run without root."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small file system")
    folder.mkdir()
    owner = "" if user is None else f",uid={user[0]},gid={user[1]}"
    command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0700{owner}", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"needs the right to mount a file system: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
