"""Writes a batch's file into a folder, completely or not at all (docs/bursar-xml.md, "File")."""

import os
from pathlib import Path, PurePath
from typing import Final, TypeVar

AnyPath = TypeVar("AnyPath", bound=PurePath)

MANIFESTS: Final = "manifests"  # readers expect nothing but batches in the folder itself


def put_batch(folder: Path, name: str, document: bytes, manifest: bytes) -> Path:
    """Writes the manifest of a batch and then its XML document; returns the path of the document.

    Because the manifest is written first, a program that sees the document also finds the manifest.
    Raises OSError.
    """
    beside = manifest_path(folder / name)
    beside.parent.mkdir(parents=True, exist_ok=True)
    write_whole(beside, manifest)
    write_whole(folder / name, document)
    return folder / name


def manifest_path(file: AnyPath) -> AnyPath:
    """Returns the path of a batch file's manifest, `manifests/<name>.json` beside the file."""
    return file.parent / MANIFESTS / f"{file.stem}.json"


def hidden_name(name: str) -> str:
    """Returns the name that a file has while it is written, which no loader takes for a batch."""
    return f".{name}.part"


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file in one step and replaces an earlier file of the same name.

    If it raises OSError, the earlier file is as it was.
    """
    write_hidden(path, data)
    rename_into_place(path)


def write_hidden(path: Path, data: bytes) -> None:
    """Writes a file under its hidden name, and waits until it is on disk. Raises OSError."""
    with path.with_name(hidden_name(path.name)).open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def rename_into_place(path: Path) -> None:
    """Renames a hidden file to its final name, and waits until the folder is on disk. Raises
    OSError.

    A crash would undo the rename as long as the folder's entry is not on disk.
    """
    path.with_name(hidden_name(path.name)).rename(path)
    opened = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
