"""The intake's bounds, and the errors after which it loads its offsets again and goes on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..core.events import Incoming, Rejection
from ..core.ledger import Origin

Parse = Callable[[str, Origin], Incoming | Rejection]


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    poll_records_max: int = 2_000
    poll_bytes_max: int = 8 * 1024 * 1024
    poll_wait_ms: int = 200
    load_seconds_max: int = 15
    # After a broker's fail-over its end offset may lag behind what was read already.
    lag_seconds_max: int = 10
    lag_retry_ms: int = 250
    faults_in_a_row_max: int = 10
    rejected_in_a_row_alarm_records: int = 100
    commit_interval_ms: int = 500
    coverage_interval_ms: int = 4_000
    silence_seconds_max: int = 8
    backoff_first_ms: int = 100
    backoff_ms_max: int = 5_000
    # Of a partition whose next record alone is too much: how long until it is tried again.
    hold_ms_max: int = 5_000


@dataclass(frozen=True, slots=True)
class Source:
    """What is read: the contract of each full topic name, and where an unknown topic starts."""

    group_id: str
    contracts: Mapping[str, str]
    start_at_latest: bool = False
