"""The order of the tests of workers that run side by side."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from tests.support.order import dealt


class Item:
    """What the order looks at."""

    def __init__(self, path: str, name: int) -> None:
        self.path = Path(path)
        self.name = name

    def __repr__(self) -> str:
        return f"{self.path}:{self.name}"


def items(path: str, count: int) -> list[pytest.Item]:
    return cast("list[pytest.Item]", [Item(path, number) for number in range(count)])


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("computing", [0, 1, 50])
def test_every_test_is_run_once_and_each_worker_begins_with_what_waits(
    workers: int, computing: int
) -> None:
    waiting = [items(f"tests/end_to_end/test_{name}.py", 3) for name in "abcdefg"]
    everything = items("tests/unit/test_x.py", computing) + [
        item for each in waiting for item in each
    ]
    result = dealt(everything, workers)
    assert sorted(result, key=repr) == sorted(everything, key=repr)
    if computing == 50:
        starts = [len(everything) * worker // workers for worker in range(workers)]
        assert all("end_to_end" in repr(result[at]) for at in starts)
