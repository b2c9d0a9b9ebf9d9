"""Where batches are delivered to: a folder with files, on this machine or on a server."""

from typing import Protocol

from ..runtime.problems import OperatorError, Unavailable

SCHEME = "sftp"  # of the URL of a target that is not a folder of this machine


class TargetUnavailable(Unavailable):
    """The target cannot be reached, or is full: another attempt may succeed."""


class TargetUnusable(OperatorError):
    """The target answers and does not permit what is needed; a person has to change its
    permissions.
    """


class Target(Protocol):
    """`name` is the name of a file in the folder, or `manifests/` and a name.

    Every method may raise TargetUnavailable and TargetUnusable.
    """

    async def open(self) -> None:
        """Connects, and makes sure that the folder exists and has a folder `manifests`."""

    async def close(self) -> None:
        """Closes the connection, if there is one."""

    async def names(self) -> frozenset[str] | None:
        """The names of the files in the folder and under `manifests`, without their folder.

        None if the target cannot be listed, such as a drop box that only permits writing.
        """

    async def read(self, name: str) -> bytes | None:
        """A file's bytes; None if there is no such file."""

    async def write(self, name: str, data: bytes) -> None:
        """Writes the file under its hidden name, and syncs it if the target permits that."""

    async def has_hidden(self, name: str) -> bool:
        """Whether the file is there under its hidden name."""

    async def rename_into_place(self, name: str) -> None:
        """Gives a file that was written its name, in one step. Never replaces a file."""
