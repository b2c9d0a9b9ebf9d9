"""A delivery keeps the profiles and the format that it was begun with.

Batches of other profiles are skipped and never delivered later. A delivery that was begun with a
wrong code and went on with the right one would have left out everything until then.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from ..export.formats import Format
from ..runtime.problems import OperatorError
from .queue import code_of
from .state import Options, State


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

    def unseen(self, keys: Collection[str]) -> list[str]:
        """Messages about such profiles, and about those that only --continue-at names."""
        jumps = self.continue_at.keys() - {code_of(key) for key in keys}
        named = (("--profile", self.unseen_codes(keys)), ("--continue-at", jumps))
        return [
            f"{option}: no batch of {code} was seen"
            for option, codes in named
            for code in sorted(codes)
        ]


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
