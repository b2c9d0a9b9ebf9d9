"""How far a delivery is, as a file: with its target it tells the whole truth, without the group.

The file is replaced as one, before and after each batch gets its name. Offsets here, not those of
the consumer group, say where to read on: what was delivered and how far was read cannot disagree.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from ..export.batch_file import write_whole
from ..runtime.problems import OperatorError

FORMAT: Final = 1


class DeliveryBusy(OperatorError):
    """Another delivery works on this state."""


class InvalidState(OperatorError):
    """The state file cannot be read: guessing would deliver twice."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record lies in its topic."""

    partition: int
    offset: int

    def is_behind(self, mark: "Place") -> bool:
        """Whether a reader who was at `mark` has read it."""
        return mark.partition == self.partition and self.offset <= mark.offset


@dataclass(frozen=True, slots=True)
class Last:
    """The last delivered batch of a profile, and how far its records were read until then.

    What comes of delivered batches from there on was sent again; before it, it was only read again
    (None: all of it, nothing has been delivered here yet).
    `sha256` None: unknown, the next one is taken as it is.
    """

    batch_number: int = 0
    sha256: str | None = None
    batch_at: Place | None = None
    manifest_at: Place | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """A batch that is about to get its name: after a crash its hidden file tells whether it has."""

    file_name: str
    last: Last


@dataclass(frozen=True, slots=True)
class Chain:
    """How far a profile is."""

    last: Last = Last()
    started: Started | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What a delivery delivers: the codes of its profiles, none for all, and how files are printed.

    `layout_sha256` is that of the layout's file, where the format has one.
    """

    profiles: tuple[str, ...] = ()
    format: str = "xml"
    layout_sha256: str | None = None

    def __str__(self) -> str:
        profiles = " ".join(f"--profile {code}" for code in self.profiles) or "all profiles"
        layout = "" if self.layout_sha256 is None else f" (layout {self.layout_sha256[:12]})"
        return f"{profiles}, --format {self.format}{layout}"


@dataclass(frozen=True, slots=True)
class State:
    """`positions`: the next offset by topic and partition. `chains` by `institution/profile`.

    `options`: what the delivery was begun with; None in states of 0.4.0 and before.

    `lost_before`: where a state before this one, which was lost, had read to. A profile with
    records before it that has no chain here may have been delivered: nobody knows how far.
    """

    positions: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    chains: Mapping[str, Chain] = field(default_factory=dict)
    lost_before: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    options: Options | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int
    positions: dict[str, dict[int, int]]
    chains: dict[str, Chain]
    lost_before: dict[str, dict[int, int]] = {}
    options: Options | None = None


_FILE: Final = TypeAdapter(_File)


class StateFile:
    """The state on disk; one delivery at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def journal_path(self) -> Path:
        """Where this delivery remembers its batches. Not in the state: that is written whole."""
        return self.path.with_name(f"{self.path.name}.delivered")

    def read(self) -> State | None:
        """None where there is none yet. Raises InvalidState."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise InvalidState(f"{self.path}: {problem.strerror}") from None
        try:
            found = _FILE.validate_json(data)
        except ValidationError:
            raise InvalidState(f"{self.path}: must be the state file of a delivery") from None
        if found.format != FORMAT:
            raise InvalidState(f"{self.path}: format must be {FORMAT}")
        return State(found.positions, found.chains, found.lost_before, found.options)

    def write(self, state: State) -> None:
        """Raises OSError; then the file is as it was."""
        told = _File(
            format=FORMAT,
            positions=_plain(state.positions),
            chains=dict(state.chains),
            lost_before=_plain(state.lost_before),
            options=state.options,
        )
        text = json.dumps(told.model_dump(mode="json"), indent=1, sort_keys=True)
        write_whole(self.path, text.encode() + b"\n")

    @contextmanager
    def held(self) -> Iterator[None]:
        """For as long as the delivery runs, whatever ends it. Raises DeliveryBusy."""
        lock = self.path.with_name(f"{self.path.name}.lock")
        try:
            opened = lock.open("w")
        except OSError as problem:
            raise OperatorError(f"{lock}: {problem.strerror}") from None
        with opened as file:
            try:
                flock(file, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                raise DeliveryBusy(f"{self.path}: another delivery works with it") from None
            yield


def _plain(positions: Mapping[str, Mapping[int, int]]) -> dict[str, dict[int, int]]:
    return {topic: dict(offsets) for topic, offsets in positions.items()}
