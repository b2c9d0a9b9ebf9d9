"""Where batches are delivered to: a folder's files, by name, wherever the folder is."""

from typing import Protocol

from ..runtime.problems import OperatorError, Unavailable

SCHEME = "sftp"  # of a target that is no folder of this machine


class TargetUnavailable(Unavailable):
    """Out of reach or full for now."""


class TargetRefused(OperatorError):
    """It answers and will not have us: a person has to mend that."""


class Target(Protocol):
    """`name` is a file's name in the folder, or under `manifests/`.

    Every method may raise TargetUnavailable, and TargetRefused.
    """

    async def open(self) -> None:
        """Reaches it, and makes sure that the folder is there and `manifests` in it."""
        ...

    async def close(self) -> None: ...

    async def names(self) -> frozenset[str] | None:
        """The names of the files in the folder and under `manifests`, without their folder.

        None where the target does not let itself be listed, as a drop box for writing alone.
        """
        ...

    async def read(self, name: str) -> bytes | None:
        """A file's bytes; None where there is none."""
        ...

    async def write(self, name: str, data: bytes) -> None:
        """The file under its hidden name, whole and as safe on disk as the target allows."""
        ...

    async def has_hidden(self, name: str) -> bool:
        """Whether a written file still waits for its name."""
        ...

    async def rename_into_place(self, name: str) -> None:
        """Gives a written file its name, at one stroke."""
        ...
