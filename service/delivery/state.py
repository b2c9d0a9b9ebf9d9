"""The state of a delivery: how far it has read and which batches were delivered last.

The state is a file that is replaced as a whole, before and after each batch gets its file name.
The offsets in it, not those of the consumer group, say where to read on, so that what was delivered
and how far was read cannot disagree.

A delivery keeps the profiles and the format that it was begun with, because batches of other
profiles are passed over for good: a delivery that was begun with a wrong code and went on with the
right one would have left out everything until then.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Final

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ..export.batch_file import write_whole
from ..export.formats import Format
from ..runtime.problems import OperatorError

FORMAT: Final = 1


class DeliveryBusy(OperatorError):
    """Another delivery works on this state."""


class InvalidState(OperatorError):
    """The state file cannot be read; a delivery that guessed would deliver batches twice."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record lies in its topic."""

    partition: int
    offset: int

    def is_behind(self, mark: "Place") -> bool:
        """Whether a reader of the partition that has read the record at `mark` has read this one.

        False for a mark of another partition.
        """
        return mark.partition == self.partition and self.offset <= mark.offset


@dataclass(frozen=True, slots=True)
class Last:
    """The last delivered batch of a profile, and how far its records had been read by then.

    Records of delivered batches that lie behind `batch_at` and `manifest_at` were sent again; those
    before were only read again. Both are None if nothing was delivered yet. `sha256` is None if it
    is not known; the next batch is then delivered whatever batch it names as the one before.
    """

    batch_number: int = 0
    sha256: str | None = None
    batch_at: Place | None = None
    manifest_at: Place | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """A batch whose file is about to get its name, and what `Chain.last` is once it has it."""

    file_name: str
    last: Last


@dataclass(frozen=True, slots=True)
class Chain:
    """How far a profile is. After a crash, whether the hidden file of `started` exists shows
    whether it was renamed.
    """

    last: Last = Last()
    started: Started | None = None

    @property
    def latest(self) -> Last:
        """The last batch that was delivered or is about to be."""
        return self.last if self.started is None else self.started.last


@dataclass(frozen=True, slots=True)
class Options:
    """What a delivery delivers: the codes of its profiles, none for all, and the file format.

    `layout_sha256` is that of the layout's file, for a format that has one.
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
    """The content of a state file.

    `positions` has the next offset by topic and partition, `chains` how far each profile is, by
    `institution/profile`. `options` are those that the delivery was begun with; None in states of
    0.4.0 and earlier. `lost_before` has, by topic and partition, how far an earlier state that was
    lost had read at most: a profile that has records before that and no chain may have been
    delivered, but it is not known how far.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    positions: Mapping[str, Mapping[int, int]]
    chains: Mapping[str, Chain]
    lost_before: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    options: Options | None = None
    format: int = FORMAT


NOTHING_DELIVERED: Final = State({}, {})
_JSON: Final = TypeAdapter(State)


def code_of(key: str) -> str:
    """The profile's code in `institution/profile`."""
    return key.partition("/")[2]


@dataclass(frozen=True, slots=True)
class DeliveryLimits:
    """How much a delivery keeps in memory: `waiting_bytes_max` bounds the records of one topic that
    wait for those of the other topic.
    """

    poll_records_max: int = 100
    poll_wait_ms: int = 500
    waiting_bytes_max: int = 128 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class DeliveryRequest:
    """What an operator asks of a delivery.

    `codes` are those of profiles, empty for all of them; `continue_at` is as Queue has it;
    `layout_sha256` is that of the format's layout. `may_change` allows other options than those
    that the delivery was begun with.
    """

    codes: frozenset[str]
    continue_at: dict[str, int]
    layout_sha256: str | None = None
    may_change: bool = False

    def has(self, key: str) -> bool:
        """Whether the profile `key`, `institution/profile`, is asked for."""
        return not self.codes or code_of(key) in self.codes

    def options(self, form: Format) -> Options:
        """The options that are stored with the delivery's state."""
        return Options(tuple(sorted(self.codes)), form.name, self.layout_sha256)

    def unseen_codes(self, keys: Collection[str]) -> frozenset[str]:
        """The profiles asked for that are not in `keys`, those seen: mostly typing errors."""
        return self.codes - {code_of(key) for key in keys}

    def unseen(self, keys: Collection[str], passed_over: Collection[str]) -> list[str]:
        """Messages about such profiles, and about those that only --continue-at names; each names
        the profile that may have been meant. `passed_over` are seen and were not asked for.
        """
        others = {code_of(key) for key in (*keys, *passed_over)}
        jumps = self.continue_at.keys() - {code_of(key) for key in keys}
        named = (("--profile", self.unseen_codes(keys)), ("--continue-at", jumps))
        return [
            f"{option}: no batch of {code} was seen{_meant(code, others)}"
            for option, codes in named
            for code in sorted(codes)
        ]


def _meant(code: str, others: Collection[str]) -> str:
    near = get_close_matches(code, others, 1)
    return f", is {near[0]} meant?" if near else ""


class OtherOptions(OperatorError):
    """The delivery was begun with other options."""


def continued(path: object, saved: State, options: Options, *, may_change: bool) -> State:
    """The state to go on with under `options`. Raises OtherOptions.

    As long as nothing was delivered, any options are accepted. If the profiles change, both topics
    are read again from their start, because batches of a new profile may have been passed over;
    those that were delivered are known by their chains. A state of 0.4.0 or earlier has no options
    and takes these.
    """
    before = saved.options
    if before is None or before == options:
        return replace(saved, options=options)
    if saved.chains and not may_change:
        raise OtherOptions(
            f"{path}: this delivery was begun with {before}; now it is called with {options}. "
            "Name another --group and --state for another delivery, or say --change-options to "
            "go on with these"
        )
    if before.profiles == options.profiles:
        return replace(saved, options=options)
    return replace(saved, positions={}, options=options)


class StateFile:
    """The state on disk, which one delivery at a time may use."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def journal_path(self) -> Path:
        """Where this delivery remembers all its batches; the state has only the last ones."""
        return self.path.with_name(f"{self.path.name}.delivered")

    def read(self) -> State | None:
        """The state; None if there is none yet. Raises InvalidState."""
        try:
            state = _JSON.validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise InvalidState(f"{self.path}: {problem.strerror}") from None
        except ValidationError:
            raise InvalidState(f"{self.path}: must be the state file of a delivery") from None
        if state.format != FORMAT:
            raise InvalidState(f"{self.path}: format must be {FORMAT}")
        return state

    def write(self, state: State) -> None:
        """Replaces the file. Raises OSError; then the file is as it was."""
        text = json.dumps(_JSON.dump_python(state, mode="json"), indent=1, sort_keys=True)
        write_whole(self.path, text.encode() + b"\n")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other deliveries from this state, until the process ends at the latest.

        Raises DeliveryBusy.
        """
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
