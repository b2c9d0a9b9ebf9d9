"""Writes a batch into a folder, whole or not at all (docs/bursar-xml.md, "File")."""

import os
from pathlib import Path, PurePath
from typing import Final, TypeVar

AnyPath = TypeVar("AnyPath", bound=PurePath)

MANIFESTS: Final = "manifests"  # readers expect nothing but batches in the folder itself


def put_batch(folder: Path, name: str, document: bytes, manifest: bytes) -> Path:
    """Writes a document and, before it, its manifest; returns the path of the document.

    A reader who sees the document therefore finds its manifest. Raises OSError.
    """
    beside = manifest_path(folder / name)
    beside.parent.mkdir(parents=True, exist_ok=True)
    write_whole(beside, manifest)
    write_whole(folder / name, document)
    return folder / name


def manifest_path(file: AnyPath) -> AnyPath:
    """The path of the manifest that belongs to the file of a batch."""
    return file.parent / MANIFESTS / f"{file.stem}.json"


def hidden_name(name: str) -> str:
    """The name of a file while it is incomplete, which no reader takes for a batch."""
    return f".{name}.part"


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file at once, in place of an earlier one.

    Raises OSError; then the earlier file is as it was.
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
    """Gives a hidden file its name, and waits until the folder is on disk. Raises OSError.

    A rename is lost in a crash as long as its folder is not on disk.
    """
    path.with_name(hidden_name(path.name)).rename(path)
    opened = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
