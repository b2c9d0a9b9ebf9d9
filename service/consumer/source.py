"""The topics that the intake reads, and how long it waits in which case."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..core.events import Incoming, Rejection
from ..core.ledger import Origin

Parse = Callable[[str, Origin], Incoming | Rejection]


@dataclass(frozen=True, slots=True)
class Source:
    """The topics that are read: the contract of each full topic name, and where reading begins in a
    topic that was not read before.
    """

    group_id: str
    contracts: Mapping[str, str]
    start_at_latest: bool = False


@dataclass(frozen=True, slots=True)
class IntakePauses:
    """Times for which the intake waits; they are constants and not settings."""

    commit_interval_ms: int = 500  # between commits of offsets to Kafka
    coverage_interval_ms: int = 4_000  # between questions to the group
    backoff_first_ms: int = 100
    backoff_ms_max: int = 5_000
    # After a broker's fail-over its end offset may lag behind what was read already.
    lag_seconds_max: int = 10
