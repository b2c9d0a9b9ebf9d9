"""The state file of a delivery says up to which offsets it has read, and which batch of each
profile it delivered last.

The file is replaced as a whole, before and after each batch's file gets its name. A restarted
delivery reads on from the offsets in this file, not from those of the consumer group, so that what
it has delivered and how far it has read always agree.

A delivery keeps the profiles and the format with which it was begun, because it passes over the
batches of other profiles for good. One that was begun with a wrong profile code and restarted with
the right one would lack all batches of the right profile up to the restart.
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
    """Another process delivers with this state file now."""


class InvalidState(OperatorError):
    """The state file cannot be read, and without it the delivery might deliver batches twice."""


@dataclass(frozen=True, slots=True)
class Place:
    """The partition and the offset of a record in its topic."""

    partition: int
    offset: int

    def is_behind(self, mark: "Place") -> bool:
        """Returns whether a reader that has read its partition up to the record at `mark` has read
        the record at this place, too.

        Returns False if `mark` is in another partition.
        """
        return mark.partition == self.partition and self.offset <= mark.offset


@dataclass(frozen=True, slots=True)
class Last:
    """The last delivered batch of a profile, and the offsets up to which its topics had been read
    then.

    A record of a delivered batch was sent again if its offset is above that of `batch_at` or
    `manifest_at`; a record at or below that offset was only read again. `batch_at` and
    `manifest_at` are None if no batch of the profile was delivered yet. `sha256` is None if it is
    not known; then the hash of the batch before, which the next batch names, is not checked.
    """

    batch_number: int = 0
    sha256: str | None = None
    batch_at: Place | None = None
    manifest_at: Place | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """A batch whose file is about to be renamed to its final name; `last` will be `Chain.last`
    after that.
    """

    file_name: str
    last: Last


@dataclass(frozen=True, slots=True)
class Chain:
    """The last delivered batch of a profile, and the one whose delivery has started. After a crash,
    a hidden file of `started` that still exists shows that it was not renamed.
    """

    last: Last = Last()
    started: Started | None = None

    @property
    def latest(self) -> Last:
        """Returns the batch that was delivered last, or the one whose file is about to get its
        name.
        """
        return self.last if self.started is None else self.started.last


@dataclass(frozen=True, slots=True)
class Options:
    """The profiles and the file format that a delivery was begun with; no codes mean all profiles.

    `layout_sha256` is the hash of the layout file; None for a format without a layout.
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
    """The content of a delivery's state file.

    `positions` has the next offset to read, by topic and partition; `chains` has the last delivered
    batch of each profile, by `institution/profile`. `options` are those that the delivery was begun
    with; None in states of 0.4.0 and earlier. `lost_before` is used after a state file was lost: it
    has, by topic and partition, the highest offset up to which the delivery may have read before.
    Batches at lower offsets whose profile has no chain may have been delivered already, and nothing
    says which of them were.
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
    """Returns the profile's code, the second part of the key `institution/profile`."""
    return key.partition("/")[2]


@dataclass(frozen=True, slots=True)
class DeliveryLimits:
    """Limits of a delivery's memory: `waiting_bytes_max` is for the records of one topic whose
    batches still lack their record of the other topic.
    """

    poll_records_max: int = 100
    poll_wait_ms: int = 500
    waiting_bytes_max: int = 128 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class DeliveryRequest:
    """What the options of an operator's command ask of a delivery.

    `codes` are profile codes, none for all profiles; `continue_at` is explained at Queue;
    `layout_sha256` is the hash of the layout file. `may_change` permits other profiles and another
    format than those that the delivery was begun with.
    """

    codes: frozenset[str]
    continue_at: dict[str, int]
    layout_sha256: str | None = None
    may_change: bool = False

    def has(self, key: str) -> bool:
        """Returns whether the operator asks for the profile `key`, an `institution/profile`."""
        return not self.codes or code_of(key) in self.codes

    def options(self, form: Format) -> Options:
        """Returns profiles and format of this request, as they are stored with the state."""
        return Options(tuple(sorted(self.codes)), form.name, self.layout_sha256)

    def codes_without_batches(self, keys: Collection[str]) -> frozenset[str]:
        """Returns the requested codes of which no batch was read; they are mostly typing errors."""
        return self.codes - {code_of(key) for key in keys}

    def findings_on_codes(self, keys: Collection[str], passed_over: Collection[str]) -> list[str]:
        """Returns a message for each code of --profile and --continue-at of which no batch was
        read; if a similar code was read, the message suggests it. `passed_over` are profiles of
        which batches were read although nobody asked for them.
        """
        others = {code_of(key) for key in (*keys, *passed_over)}
        jumps = self.continue_at.keys() - {code_of(key) for key in keys}
        named = (("--profile", self.codes_without_batches(keys)), ("--continue-at", jumps))
        return [
            f"{option}: no batch of {code} was seen{_meant(code, others)}"
            for option, codes in named
            for code in sorted(codes)
        ]


def _meant(code: str, others: Collection[str]) -> str:
    near = get_close_matches(code, others, 1)
    return f", is {near[0]} meant?" if near else ""


class OtherOptions(OperatorError):
    """The delivery was begun with other profiles or another format."""


def continued(path: object, saved: State, options: Options, *, may_change: bool) -> State:
    """Returns the saved state with these options, for the delivery to go on with. Raises
    OtherOptions.

    Any options are accepted as long as the delivery has delivered nothing. If the profiles change,
    both topics are read again from their start, because batches of a new profile may have been
    passed over; batches that were delivered before are recognised by their chains and not delivered
    twice. A state of release 0.4.0 or earlier has no options, and gets the present ones.
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
    """The state file of a delivery, which only one process at a time may use."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def journal_path(self) -> Path:
        """Returns the path of the journal, which has all delivered batches; the state has only the
        last ones.
        """
        return self.path.with_name(f"{self.path.name}.delivered")

    def read(self) -> State | None:
        """Returns the state; None if there is no file yet. Raises InvalidState."""
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
        """Replaces the file. If it raises OSError, the file is as it was before."""
        text = json.dumps(_JSON.dump_python(state, mode="json"), indent=1, sort_keys=True)
        write_whole(self.path, text.encode() + b"\n")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Locks the state file against other deliveries until the `with` block or the process ends.

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
