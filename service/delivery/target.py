"""Defines what a delivery needs of its target, a folder on this machine or on an SFTP server."""

from typing import Protocol

from ..runtime.problems import OperatorError, Unavailable

SCHEME = "sftp"  # of the URL of a target that is not a folder of this machine


class TargetUnavailable(Unavailable):
    """The target cannot be reached or its disk is full: another attempt may succeed."""


class TargetUnusable(OperatorError):
    """The target answers but refuses what the delivery needs; a person has to mend its folder or
    its permissions.
    """


class Target(Protocol):
    """A folder into which batches are delivered; `name` is a file's name, or `manifests/` and a
    name.

    Every method may raise TargetUnavailable and TargetUnusable.
    """

    async def open(self) -> None:
        """Connects, checks that the folder exists, and creates its subfolder `manifests` if
        necessary.
        """

    async def close(self) -> None:
        """Closes the connection to the target, if there is one."""

    async def names(self) -> frozenset[str] | None:
        """Returns the names of the files in the folder and in `manifests`, without the folder's
        name.

        Returns None if the target cannot be listed, such as a drop box that only permits writing.
        """

    async def read(self, name: str) -> bytes | None:
        """Returns the bytes of the file; None if there is no such file."""

    async def write(self, name: str, data: bytes) -> None:
        """Writes the file under a hidden name, and syncs it to disk if the target can."""

    async def has_hidden(self, name: str) -> bool:
        """Returns whether the file exists under its hidden name, because it was not renamed yet."""

    async def rename_into_place(self, name: str) -> None:
        """Renames the file that `write` has written from its hidden name to `name`, in one step.
        Never replaces a file.
        """
