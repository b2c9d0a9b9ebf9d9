"""What a person is told of a delivered batch."""

from dataclasses import dataclass

from .placing import Printed
from .queue import Due


@dataclass(frozen=True, slots=True)
class Delivered:
    """One batch on its target; `total` is the manifest's text."""

    profile: str
    batch_number: int
    file_name: str
    count: int
    total: str
    currency: str
    is_written: bool  # False: the same file was there already


def delivered_of(due: Due, file: Printed, is_written: bool) -> Delivered:
    manifest = file.manifest
    return Delivered(
        profile=due.key,
        batch_number=due.batch_number,
        file_name=file.file_name,
        count=int(str(manifest["count"])),
        total=str(manifest["total"]),
        currency=str(manifest["currency"]),
        is_written=is_written,
    )
