"""The batches that were delivered: each export number has one name and one content, for good. Pure.

Files cannot serve as this memory, because loaders take them away. A reader looks a file up by
`<profile>-<export number>`, so a second file name for a delivered export number must never exist.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
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

    `sha256` is that of the XML, whatever the format of the file; `file_sha256` that of the file,
    `manifest_sha256` that of the manifest's bytes. None: not known, because a release without this
    memory delivered it.
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
        return f"{self.institution_id}/{self.profile}"

    def agrees_with(self, other: "DeliveredBatch") -> bool:
        """Whether both are one batch, as far as both are known."""
        return (self.key, self.batch_number) == (other.key, other.batch_number) and all(
            mine is None or theirs is None or mine == theirs
            for mine, theirs in zip(self._content(), other._content(), strict=True)
        )

    def completed_by(self, other: "DeliveredBatch") -> "DeliveredBatch":
        """With what `other`, the same batch, knows beyond this one."""
        return DeliveredBatch(
            self.institution_id,
            self.profile,
            self.batch_number,
            self.sha256,
            self.export_number or other.export_number,
            self.file_name or other.file_name,
            self.file_sha256 or other.file_sha256,
            self.manifest_sha256 or other.manifest_sha256,
        )

    def _content(self) -> tuple[str | None, ...]:
        return (self.file_name, self.sha256, self.file_sha256, self.manifest_sha256)


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
        """`key`: `institution/profile`."""
        return self._by_batch.get((key, batch_number))

    def knows(self, batch: DeliveredBatch) -> bool:
        """Whether adding it would change nothing."""
        known = self.batch(batch.key, batch.batch_number)
        return known is not None and known.completed_by(batch) == known

    def add(self, batch: DeliveredBatch) -> None:
        """What is known already stays as it is; only what is missing of it is completed."""
        known = self.batch(batch.key, batch.batch_number)
        if known is not None:
            batch = known.completed_by(batch) if known.agrees_with(batch) else known
        self._by_batch[batch.key, batch.batch_number] = batch
        if batch.export_number is not None:
            number = (batch.profile, batch.export_number)
            first = self._by_export_number.get(number, batch)
            if (first.key, first.batch_number) == (batch.key, batch.batch_number):
                self._by_export_number[number] = batch

    def see(self, names: Iterable[str]) -> None:
        """File names on the target, without their folder: evidence of what was delivered there."""
        for name in names:
            if (named := _NAME.fullmatch(name)) is None:
                continue
            number = (named["profile"], named["export_number"])
            known = self._by_export_number.get(number)
            if known is None or _stem(known.file_name or "") != _stem(name):
                self._on_target.setdefault(number, set()).add(_stem(name))

    def conflict(self, batch: DeliveredBatch) -> str | None:
        """Why this batch must not be delivered; None: nothing is known against it.

        The text names both batches. They hold no personal data.
        """
        known = self.batch(batch.key, batch.batch_number)
        if known is not None and not known.agrees_with(batch):
            return _differing("batch_number", known, batch)
        number = (batch.profile, batch.export_number or "")
        known = self._by_export_number.get(number)
        if known is not None and not known.agrees_with(batch):
            return _differing("export_number", known, batch)
        others = self._on_target.get(number, set()) - {_stem(batch.file_name or "")}
        if others:
            return (
                f"export_number: the target holds {_shown(min(others))}, which has the number of "
                f"{_described(batch, 'sha256', batch.sha256)}"
            )
        return None


def export_number_of(file_name: str) -> str | None:
    """The export number in a batch file's name."""
    named = _NAME.fullmatch(file_name)
    return None if named is None else named["export_number"]


def _stem(name: str) -> str:
    """The name up to its milliseconds.

    A loader may rename what it has loaded (`<name>.done`), and the manifest has the suffix `.json`:
    these are the same batch. Where no milliseconds follow the number, the whole name counts.
    """
    named = _NAME.fullmatch(name)
    digits = None if named is None else _MILLISECONDS.match(named["rest"])
    if named is None or digits is None:
        return name
    return name[: named.start("rest") + digits.end()]


def _shown(name: str) -> str:
    """A name of ours; what else a stranger called a file does not belong into a log."""
    named = _NAME.fullmatch(name)
    is_ours = named is not None and _MILLISECONDS.fullmatch(named["rest"])
    return f"{name}.*" if is_ours else OTHER_FILE


def _differing(field: str, known: DeliveredBatch, batch: DeliveredBatch) -> str:
    hashes = [
        ("sha256", known.sha256, batch.sha256),
        ("file_sha256", known.file_sha256, batch.file_sha256),
        ("manifest_sha256", known.manifest_sha256, batch.manifest_sha256),
    ]
    differing = [row for row in hashes if None not in row and row[1] != row[2]]
    name, before, now = (differing or hashes)[0]
    return (
        f"{field}: delivered before was {_described(known, name, before)}; "
        f"this is {_described(batch, name, now)}"
    )


def _described(batch: DeliveredBatch, hash_name: str, digits: str | None) -> str:
    name = batch.file_name or UNKNOWN_NAME
    return f"batch {batch.batch_number} of {batch.key}, {name}, {hash_name} {_start(digits)}"


def _start(digits: str | None) -> str:
    return "unknown" if digits is None else digits[:DIGITS_SHOWN]
