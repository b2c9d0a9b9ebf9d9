"""When bad records stop a topic, told from the whole history (rules.md, 7)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple


class Given(NamedTuple):
    """A record as it comes: its topic, the institution that it names, and whether it is bad."""

    topic: str
    institution: str | None
    is_bad: bool


def outcomes(history: Sequence[Given], bad_max: int) -> list[str]:
    """What becomes of each record: it is `decided`, `waits` in the database, or is `left`."""
    decided: list[Given] = []
    stopped: set[tuple[str, str | None]] = set()
    result = []
    for record in history:
        if (record.topic, None) in stopped:
            result.append("left")
        elif (record.topic, record.institution) in stopped:
            result.append("waits")
        else:
            decided.append(record)
            result.append("decided")
            if record.is_bad and bad_max:
                of_topic = [each for each in decided if each.topic == record.topic]
                if _of_several(of_topic) >= bad_max:
                    stopped.add((record.topic, None))
                elif record.institution and _of(of_topic, record.institution) >= bad_max:
                    stopped.add((record.topic, record.institution))
    return result


def _of_several(decided: Sequence[Given]) -> int:
    """The last bad records of a topic, without those of the institution that has most of them."""
    names = Counter(each.institution for each in _last_bad(decided))
    named = [number for name, number in names.items() if name is not None]
    return sum(names.values()) - max(named, default=0)


def _of(decided: Sequence[Given], institution: str) -> int:
    return len(_last_bad([each for each in decided if each.institution == institution]))


def _last_bad(decided: Sequence[Given]) -> Sequence[Given]:
    sound = [place for place, each in enumerate(decided) if not each.is_bad]
    return decided[sound[-1] + 1 if sound else 0 :]
