"""Remembers the delivered batches, so that no export number gets a second file name or other
content. Pure.

The delivery cannot look at the files on the target instead, because the bursar's loader removes
them. The bursar's programs look a file up by `<profile>-<export number>`, so there must never be a
second file name for an export number that was delivered.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

UNKNOWN_NAME: Final = "a file whose name is not known"
OTHER_FILE: Final = "a file of this number with another name"
DIGITS_SHOWN: Final = 12

_NAME: Final = re.compile(
    r"(?P<profile>[A-Za-z0-9_]+)-(?P<export_number>[1-9][0-9]{14})-(?P<rest>.+)",
    re.ASCII | re.DOTALL,
)
_MILLISECONDS: Final = re.compile(r"[0-9]{1,16}(?![0-9])", re.ASCII)


@dataclass(frozen=True, slots=True)
class DeliveredBatch:
    """A batch that was delivered, or one that is about to be.

    `sha256` is the hash of the XML, whatever the format of the file; `file_sha256` is the hash of
    the file, and `manifest_sha256` that of the manifest's bytes. A field is None if it is not
    known, because the batch was delivered by a release that did not remember it.
    """

    institution_id: str
    profile: str
    batch_number: int
    sha256: str
    export_number: str | None = None
    file_name: str | None = None
    file_sha256: str | None = None
    manifest_sha256: str | None = None

    @property
    def key(self) -> str:
        """Returns `institution/profile`, the key by which this package names a profile."""
        return f"{self.institution_id}/{self.profile}"

    def agrees_with(self, other: "DeliveredBatch") -> bool:
        """Returns whether this batch and `other` have the same key and number, and no field that is
        known of both differs.
        """
        return (self.key, self.batch_number) == (other.key, other.batch_number) and all(
            mine is None or theirs is None or mine == theirs
            for mine, theirs in zip(
                (self.file_name, *self.hashes.values()),
                (other.file_name, *other.hashes.values()),
                strict=True,
            )
        )

    def completed_by(self, other: "DeliveredBatch") -> "DeliveredBatch":
        """Returns this batch with its unknown fields filled from `other`, the same batch."""
        return replace(
            self,
            export_number=self.export_number or other.export_number,
            file_name=self.file_name or other.file_name,
            file_sha256=self.file_sha256 or other.file_sha256,
            manifest_sha256=self.manifest_sha256 or other.manifest_sha256,
        )

    @property
    def hashes(self) -> dict[str, str | None]:
        """Returns the three hashes under the names of their fields."""
        return {
            "sha256": self.sha256,
            "file_sha256": self.file_sha256,
            "manifest_sha256": self.manifest_sha256,
        }


class Memory:
    """The delivered batches by batch number and export number, and the file names on the target."""

    def __init__(self, batches: Iterable[DeliveredBatch] = ()) -> None:
        self._by_batch: dict[tuple[str, int], DeliveredBatch] = {}
        self._by_export_number: dict[tuple[str, str], DeliveredBatch] = {}
        self._on_target: dict[tuple[str, str], set[str]] = {}
        for batch in batches:
            self.add(batch)

    def __len__(self) -> int:
        return len(self._by_batch)

    def batch(self, key: str, batch_number: int) -> DeliveredBatch | None:
        """Returns the delivered batch of this number; `key` is `institution/profile`."""
        return self._by_batch.get((key, batch_number))

    def knows(self, batch: DeliveredBatch) -> bool:
        """Returns whether `add` would change nothing, because all fields of the batch are
        remembered.
        """
        known = self.batch(batch.key, batch.batch_number)
        return known is not None and known.completed_by(batch) == known

    def add(self, batch: DeliveredBatch) -> None:
        """Adds the batch; fields that are remembered of it keep their values, unknown ones are
        filled.
        """
        known = self.batch(batch.key, batch.batch_number)
        if known is not None:
            batch = known.completed_by(batch) if known.agrees_with(batch) else known
        self._by_batch[batch.key, batch.batch_number] = batch
        if batch.export_number is not None:
            number = (batch.profile, batch.export_number)
            first = self._by_export_number.get(number, batch)
            if (first.key, first.batch_number) == (batch.key, batch.batch_number):
                self._by_export_number[number] = batch

    def add_target_names(self, names: Iterable[str]) -> None:
        """Adds the names of files on the target, without folders; they show earlier deliveries."""
        for name in names:
            if (parts := _NAME.fullmatch(name)) is None:
                continue
            number = (parts["profile"], parts["export_number"])
            known = self._by_export_number.get(number)
            if known is None or _stem(known.file_name or "") != _stem(name):
                self._on_target.setdefault(number, set()).add(_stem(name))

    def conflict(self, batch: DeliveredBatch) -> str | None:
        """Returns why this batch must not be delivered: a delivered batch or a file on the target
        has its number. None if none has.

        The text names both batches and contains no personal data.
        """
        number = (batch.profile, batch.export_number or "")
        delivered = {
            "batch_number": self.batch(batch.key, batch.batch_number),
            "export_number": self._by_export_number.get(number),
        }
        for field, known in delivered.items():
            if known is not None and not known.agrees_with(batch):
                return _difference(field, known, batch)
        others = self._on_target.get(number, set()) - {_stem(batch.file_name or "")}
        if others:
            return (
                f"export_number: the target holds {_shown(min(others))}, which has the number of "
                f"{_described(batch, 'sha256')}"
            )
        return None


def export_number_of(file_name: str) -> str | None:
    """Returns the export number in a file name of the form `<profile>-<export number>-…`, else
    None.
    """
    parts = _NAME.fullmatch(file_name)
    return None if parts is None else parts["export_number"]


def _stem(name: str) -> str:
    """The name up to its milliseconds.

    A loader may rename what it has loaded (`<name>.done`), and the manifest has the suffix `.json`:
    these are the same batch. Where no milliseconds follow the number, the whole name counts.
    """
    parts = _NAME.fullmatch(name)
    digits = None if parts is None else _MILLISECONDS.match(parts["rest"])
    if parts is None or digits is None:
        return name
    return name[: parts.start("rest") + digits.end()]


def _shown(name: str) -> str:
    """A batch's file name; what else somebody called a file does not belong into a log."""
    parts = _NAME.fullmatch(name)
    is_of_a_batch = parts is not None and _MILLISECONDS.fullmatch(parts["rest"])
    return f"{name}.*" if is_of_a_batch else OTHER_FILE


def _difference(field: str, known: DeliveredBatch, batch: DeliveredBatch) -> str:
    """Names the first hash that both have and that differs."""
    differing = [
        name
        for name, digest in known.hashes.items()
        if digest and batch.hashes[name] and digest != batch.hashes[name]
    ]
    name = (differing or ["sha256"])[0]
    return (
        f"{field}: delivered before was {_described(known, name)}; "
        f"this is {_described(batch, name)}"
    )


def _described(batch: DeliveredBatch, hash_name: str) -> str:
    file_name, digest = batch.file_name or UNKNOWN_NAME, batch.hashes[hash_name]
    shown = "unknown" if digest is None else digest[:DIGITS_SHOWN]
    return f"batch {batch.batch_number} of {batch.key}, {file_name}, {hash_name} {shown}"
