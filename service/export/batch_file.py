"""A batch in a folder, as docs/bursar-xml.md ("File") says: whole or not at all."""

import os
from pathlib import Path, PurePath
from typing import Final, TypeVar

AnyPath = TypeVar("AnyPath", bound=PurePath)

MANIFESTS: Final = "manifests"  # readers expect nothing but batches in the folder itself


def put_batch(folder: Path, name: str, document: bytes, manifest: bytes) -> Path:
    """Writes both; whoever sees the XML finds its manifest. Raises OSError."""
    beside = manifest_path(folder / name)
    beside.parent.mkdir(parents=True, exist_ok=True)
    write_whole(beside, manifest)
    write_whole(folder / name, document)
    return folder / name


def manifest_path(file: AnyPath) -> AnyPath:
    """Where the manifest of a batch's file is."""
    return file.parent / MANIFESTS / f"{file.stem}.json"


def hidden_name(name: str) -> str:
    """The name a file has until it is whole, which no reader takes for a batch."""
    return f".{name}.part"


def write_whole(path: Path, data: bytes) -> None:
    """The file as one, in the place of what was there. Raises OSError, and leaves it as it was."""
    write_hidden(path, data)
    rename_into_place(path)


def write_hidden(path: Path, data: bytes) -> None:
    """The file under its hidden name, safe on disk."""
    with path.with_name(hidden_name(path.name)).open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def rename_into_place(path: Path) -> None:
    """Gives a hidden file its name, for good: a rename is on disk only when its folder is."""
    path.with_name(hidden_name(path.name)).rename(path)
    opened = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
