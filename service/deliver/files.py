"""Files that are there whole or not at all."""

import os
from pathlib import Path

HIDDEN = "part"  # readers of a folder must not take it for a batch: a dot in front, no xml behind


def hidden_name(name: str) -> str:
    """The name a file has until it is whole."""
    return f".{name}.{HIDDEN}"


def write_hidden(folder: Path, name: str, data: bytes) -> Path:
    """The file under its hidden name, safe on disk."""
    hidden = folder / hidden_name(name)
    with hidden.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return hidden


def unveil(folder: Path, name: str) -> None:
    """Gives a hidden file its name, for good."""
    (folder / hidden_name(name)).rename(folder / name)
    sync_folder(folder)


def write_whole(path: Path, data: bytes) -> None:
    """The file as one, in the place of what was there. Raises OSError, and leaves it as it was."""
    write_hidden(path.parent, path.name, data)
    unveil(path.parent, path.name)


def sync_folder(folder: Path) -> None:
    """A rename is on disk only when its folder is."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
