"""The rows of one table during a fold, and which of them the fold has changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Changed(Generic[K, V]):
    """What a fold did to the rows of one table, each in the order of its first change."""

    added: tuple[V, ...]
    changed: tuple[V, ...]
    removed: Mapping[K, V]

    @property
    def written(self) -> tuple[V, ...]:
        """All rows that were added or changed, the added ones first."""
        return self.added + self.changed


class ChangeTracker(Generic[K, V]):
    """The rows of one table during a fold, and which of them differ from what was read."""

    def __init__(self, read: Mapping[K, V]) -> None:
        self._read = read
        self._now: dict[K, V] = dict(read)
        self.writes = 0  # those that may let a parked record go on

    def __getitem__(self, key: K) -> V:
        return self._now[key]

    def get(self, key: K | None) -> V | None:
        """The row as it is now. None if there is none, or if there is no key."""
        return None if key is None else self._now.get(key)

    def put(self, key: K, value: V, *, can_unblock: bool = True) -> None:
        """Adds or replaces a row. `can_unblock`: whether a parked record may be applicable then."""
        self._now[key] = value
        self.writes += can_unblock

    def remove(self, key: K) -> None:
        """Takes a row away. Raises KeyError if there is none."""
        del self._now[key]
        self.writes += 1

    @property
    def now(self) -> Mapping[K, V]:
        """All rows as they are now, those that were read first."""
        return self._now

    def changes(self) -> Changed[K, V]:
        """Returns which rows are new, and which of the others have changed or are gone."""
        read, now = self._read, self._now
        return Changed(
            added=tuple(value for key, value in now.items() if key not in read),
            changed=tuple(
                value
                for key, value in now.items()
                if (before := read.get(key)) is not None and before is not value and before != value
            ),
            removed={key: value for key, value in read.items() if key not in now},
        )
