"""A delivery keeps the profiles and the format that it was begun with.

Batches of other profiles are passed over for good. A delivery that was begun with a wrong code and
went on with the right one would have left out everything until then.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from ..export.formats import Format
from ..runtime.problems import OperatorError
from .queue import code_of
from .state import Options, State


@dataclass(frozen=True, slots=True)
class Wanted:
    """`codes`: of profiles, empty for all; `continue_at`: as Queue has it.

    `layout_sha256`: of the format's layout; `may_change`: what the delivery was begun with.
    """

    codes: frozenset[str]
    continue_at: dict[str, int]
    layout_sha256: str | None = None
    may_change: bool = False

    def has(self, key: str) -> bool:
        return not self.codes or code_of(key) in self.codes

    def options(self, form: Format) -> Options:
        return Options(tuple(sorted(self.codes)), form.name, self.layout_sha256)

    def unseen_codes(self, keys: Collection[str]) -> frozenset[str]:
        """Profiles that no batch has: as a rule typing errors. `keys`: of all that were seen."""
        return self.codes - {code_of(key) for key in keys}

    def unseen(self, keys: Collection[str]) -> list[str]:
        """The same in words, with those that --continue-at names."""
        jumps = self.continue_at.keys() - {code_of(key) for key in keys}
        return [
            *(
                f"--profile: no batch of {code} was seen"
                for code in sorted(self.unseen_codes(keys))
            ),
            *(f"--continue-at: no batch of {code} was seen" for code in sorted(jumps)),
        ]


class OtherOptions(OperatorError):
    """The delivery was begun with other options."""


def continued(path: object, saved: State, options: Options, *, may_change: bool) -> State:
    """The state to go on with under these options. Raises OtherOptions.

    As long as nothing was delivered, any options will do. Where the profiles change, both topics
    are read again from their start, for batches of a new one may have been passed over; those that
    were delivered are known by their chains. A state of 0.4.0 and before takes the options as its
    own.
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
