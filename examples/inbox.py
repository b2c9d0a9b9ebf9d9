"""What a loader does with a batch, whatever client brought it: checks it, keeps it, knows the next.

Needs nothing but Python. A batch is two records under one `ce_id`, its XML and its manifest, that
come in any order and perhaps more than once; `Inbox.take` is given each of them.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

Manifest = dict[str, Any]  # contracts/events/export-manifest.v1.schema.json
XB = "{http://com/exlibris/urm/rep/externalsysfinesfees/xmlbeans}"


class WrongBatch(Exception):
    """A batch that must not be loaded: ask for it again (`bursar-bridge export resend`)."""


class Inbox:
    """A folder of whole batches; `.last.json` in it says which is the last one per profile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.halves: dict[str, dict[str, bytes]] = {}
        (folder / "manifests").mkdir(parents=True, exist_ok=True)

    @property
    def is_complete(self) -> bool:
        """No half of a batch waits in memory: what was read so far may be committed."""
        return not self.halves

    def take(self, headers: Mapping[str, object], value: bytes) -> Manifest | None:
        """The manifest of a batch that is now in the folder; None: the other half is awaited, or
        it is here already. Raises WrongBatch."""
        name = bytes(headers["ce_id"]).decode()  # type: ignore[call-overload] # both clients: bytes
        batch = name.removesuffix("/manifest")
        half = "manifest" if name.endswith("/manifest") else "document"
        key, _, number = batch.rpartition("/")
        last_number, last_sha256 = self._last(key)
        if int(number) <= last_number:
            return None  # it came again: same ce_id, same bytes
        both = self.halves.setdefault(batch, {})
        both[half] = value
        if len(both) < 2:
            return None
        manifest: Manifest = json.loads(both["manifest"])
        if int(number) != last_number + 1:
            raise WrongBatch(f"{key}: batch {last_number + 1} is missing before {number}")
        if manifest["previous_sha256"] != last_sha256:
            raise WrongBatch(f"{batch}: previous_sha256: the batch before is another one")
        check(both["document"], manifest)
        file_name = manifest["file_name"]
        keep(self.folder / "manifests" / f"{file_name.removesuffix('.xml')}.json", both["manifest"])
        keep(self.folder / file_name, both["document"])
        self._note(key, manifest)
        del self.halves[batch]
        return manifest

    def _last(self, key: str) -> tuple[int, str | None]:
        """Number and hash of the last batch of `institution/profile`."""
        last = self._all().get(key)
        return (0, None) if last is None else (last["batch_number"], last["sha256"])

    def _note(self, key: str, manifest: Manifest) -> None:
        last = {name: manifest[name] for name in ("batch_number", "sha256")}
        batches = json.dumps({**self._all(), key: last}, indent=1)
        keep(self.folder / ".last.json", batches.encode())

    def _all(self) -> dict[str, Manifest]:
        try:
            return dict(json.loads((self.folder / ".last.json").read_bytes()))
        except FileNotFoundError:
            return {}


def check(document: bytes, manifest: Manifest) -> None:
    """Hash, count and totals, read from the bytes. Decimal, never float. Raises WrongBatch."""
    sums = [Decimal(node.text or "") for node in ElementTree.fromstring(document).iter(f"{XB}sum")]
    debits, credited = [s for s in sums if s > 0], [s for s in sums if s < 0]
    actual = {
        "sha256": hashlib.sha256(document).hexdigest(),
        "count": len(sums),
        "total": sum(sums, Decimal(0)),
        "debits": {"count": len(debits), "total": sum(debits, Decimal(0))},
        "credits": {"count": len(credited), "total": sum(credited, Decimal(0))},
    }
    for name, value in actual.items():
        expected = manifest[name]
        if isinstance(value, Decimal):
            expected = Decimal(expected)
        elif isinstance(value, dict):
            expected = {"count": expected["count"], "total": Decimal(expected["total"])}
        if expected != value:
            raise WrongBatch(f"{name}: the document differs from its manifest")


def keep(path: Path, data: bytes) -> None:
    """The file whole or not at all, also after a crash; readers look for *.xml and see no part."""
    hidden = path.with_name(f".{path.name}.part")
    with hidden.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    hidden.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
