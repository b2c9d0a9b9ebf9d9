"""A batch in a folder, as bursar-xml.md ("File") says: whole or not at all, also after a crash."""

import os
from pathlib import Path

MANIFESTS = "manifests"


def put_batch(folder: Path, name: str, document: bytes, manifest: bytes) -> Path:
    """Writes both; whoever sees the XML finds its manifest. Raises OSError."""
    _put(manifest_path(folder / name), manifest)
    _put(folder / name, document)
    return folder / name


def manifest_path(file: Path) -> Path:
    """Where the manifest of a batch's file is."""
    return file.parent / MANIFESTS / f"{file.stem}.json"


def _put(path: Path, content: bytes) -> None:
    """Under a name that no reader takes for a batch, then under its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.parent / f".{path.name}.part"
    with hidden.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    hidden.rename(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """The new name as well, not only the bytes behind it."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
