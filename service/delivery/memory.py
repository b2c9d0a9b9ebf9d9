"""The batches that were delivered: an export number never gets another name or another content.
Pure.

Files cannot serve as this memory, because loaders take them away. A reader looks a file up by
`<profile>-<export number>`, so a second file name for a delivered export number must never exist.
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
    """One batch as it was delivered, or as it has come.

    `sha256` is that of the XML, whatever the format of the file; `file_sha256` is that of the file,
    `manifest_sha256` that of the manifest's bytes. A field is None if it is not known, because a
    release without this memory delivered the batch.
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
        """The institution and the profile, `institution/profile`."""
        return f"{self.institution_id}/{self.profile}"

    def agrees_with(self, other: "DeliveredBatch") -> bool:
        """Whether both are one batch, as far as both are known."""
        return (self.key, self.batch_number) == (other.key, other.batch_number) and all(
            mine is None or theirs is None or mine == theirs
            for mine, theirs in zip(
                (self.file_name, *self.hashes.values()),
                (other.file_name, *other.hashes.values()),
                strict=True,
            )
        )

    def completed_by(self, other: "DeliveredBatch") -> "DeliveredBatch":
        """This batch with what `other`, the same batch, knows beyond it."""
        return replace(
            self,
            export_number=self.export_number or other.export_number,
            file_name=self.file_name or other.file_name,
            file_sha256=self.file_sha256 or other.file_sha256,
            manifest_sha256=self.manifest_sha256 or other.manifest_sha256,
        )

    @property
    def hashes(self) -> dict[str, str | None]:
        """The three hashes, by the names of their fields."""
        return {
            "sha256": self.sha256,
            "file_sha256": self.file_sha256,
            "manifest_sha256": self.manifest_sha256,
        }


class Memory:
    """What was delivered, by batch number and by export number; and what lies on the target."""

    def __init__(self, batches: Iterable[DeliveredBatch] = ()) -> None:
        self._by_batch: dict[tuple[str, int], DeliveredBatch] = {}
        self._by_export_number: dict[tuple[str, str], DeliveredBatch] = {}
        self._on_target: dict[tuple[str, str], set[str]] = {}
        for batch in batches:
            self.add(batch)

    def __len__(self) -> int:
        return len(self._by_batch)

    def batch(self, key: str, batch_number: int) -> DeliveredBatch | None:
        """The delivered batch of this number; `key` is `institution/profile`."""
        return self._by_batch.get((key, batch_number))

    def knows(self, batch: DeliveredBatch) -> bool:
        """Whether adding the batch would change nothing."""
        known = self.batch(batch.key, batch.batch_number)
        return known is not None and known.completed_by(batch) == known

    def add(self, batch: DeliveredBatch) -> None:
        """Adds the batch; what is known of it already stays, and what was missing is completed."""
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
        """Adds file names on the target, without their folder: evidence of earlier deliveries."""
        for name in names:
            if (parts := _NAME.fullmatch(name)) is None:
                continue
            number = (parts["profile"], parts["export_number"])
            known = self._by_export_number.get(number)
            if known is None or _stem(known.file_name or "") != _stem(name):
                self._on_target.setdefault(number, set()).add(_stem(name))

    def conflict(self, batch: DeliveredBatch) -> str | None:
        """Why this batch must not be delivered; None if nothing is known against it.

        The text names both batches and has no personal data.
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
    """The export number in the name of a batch's file; None for another file."""
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
