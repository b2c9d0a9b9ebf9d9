"""Gives each metric counter a first sample with the value 0 when the service starts.

Prometheus computes the rate of a counter from the difference of two samples. If a counter appeared
only with the first rejected record, no rate would contain that record, and no alarm would be raised
for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from ..core.words import ItemState, Reason, Wait
from ..export.profiles.profile import Profiles
from ..runtime.failures import RETRYABLE
from ..runtime.telemetry import MemberEnd, Metrics
from .names import IMPORT_TOPIC
from .purge import KINDS

POLL_OUTCOMES = ("applied", "fenced", "failed")


def begin_at_zero(
    metrics: Metrics,
    inputs: Sequence[str],
    outputs: Sequence[str],
    quarantine_reasons: Iterable[str],
    profiles: Profiles,
) -> None:
    """Sets each counter to 0 for all values of its labels that are known when the service starts.
    `inputs` and `outputs` are names of topics, with the prefix of the installation.
    """
    for field, values in _known(inputs, outputs, quarantine_reasons, profiles).items():
        for labels in values:
            metrics.add(field, labels, 0)


def _known(
    inputs: Sequence[str],
    outputs: Sequence[str],
    quarantine_reasons: Iterable[str],
    profiles: Profiles,
) -> Mapping[str, Iterable[tuple[str, ...]]]:
    codes = sorted({profile.code for profile in profiles.profiles})
    currencies = sorted({profile.currency for profile in profiles.profiles})
    return {
        "records": product(inputs),
        "outcomes": product(_outcomes()),
        "rejected": product((*inputs, IMPORT_TOPIC), Reason),
        "unparked": product(Wait),
        "polls": product(POLL_OUTCOMES),
        "commit_retries": product(error.__name__ for error in RETRYABLE),
        "credits": product(currencies),
        "credited_minor_units": product(currencies),
        "sent": product(outputs),
        "quarantined": product(outputs, sorted(set(quarantine_reasons))),
        "batches": product(codes),
        "fines_exported": product(codes),
        "run_failures": product(codes),
        "purged": product(kind.name for kind in KINDS),
        "member_ends": product(MemberEnd),
    }


def _outcomes() -> Iterable[str]:
    """What may become of a record of a poll."""
    yield from (ItemState.APPLIED, ItemState.NOTED)
    yield from ("repeat", f"repeat:{Reason.ALREADY_CLOSED}")
    yield from (f"rejected:{reason}" for reason in Reason)
    yield from (f"parked:{wait}" for wait in Wait)
