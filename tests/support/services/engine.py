"""PostgreSQL and Kafka as containers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


def why_absent(tell: Callable[[str], None]) -> str | None:
    return "not there yet"


@contextlib.contextmanager
def containers(
    postgres: bool, kafka: bool, tell: Callable[[str], None]
) -> Iterator[tuple[str | None, str | None]]:
    yield None, None
