"""Protections of the service that the simulator can take away, to see that seeds fail without them.

A statement is changed on its way to the server, or a method is wrapped; the service itself has no
switch for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from unittest import mock

from service.core import breaker
from service.database.session import statements
from service.relay.outbox import Outbox, Row

Rewrite = Callable[[str], str]

# By protection: the statement that holds it, and what is put in the place of its parts. A parameter
# that is not used would have no type.
_CHANGES = {
    "offsets": (
        "offsets",
        "advance",
        {"AND kept.next_offset = k.expected": "", "AND kept.owner_epoch = k.owner_epoch": ""},
    ),
    "account-locks": ("ledger", "lock_accounts", {"FOR UPDATE OF account": ""}),
    "lease": ("outbox", "renew_lease", {"AND fence = $2": "AND $2::bigint IS NOT NULL"}),
}
ACKNOWLEDGEMENT = "acknowledgement"
BREAKER = "breaker"
PROTECTIONS = (*_CHANGES, ACKNOWLEDGEMENT, BREAKER)


def rewrite_without(protections: Collection[str]) -> Rewrite:
    """The change of statements that takes these protections away."""
    changed: dict[str, str] = {}
    for protection in protections:
        if protection in _CHANGES:
            file, name, parts = _CHANGES[protection]
            query = text = statements(file)[name]
            for part, instead in parts.items():
                assert part in text, f"{file}.{name} has no {part!r}"
                text = text.replace(part, instead)
            changed[query] = text
    return lambda query: changed.get(query, query)


@contextlib.contextmanager
def methods_without(protections: Collection[str]) -> Iterator[None]:
    """Without `acknowledgement`, records leave the outbox as soon as they are read. Without
    `breaker`, no number of bad records stops a topic.
    """
    with contextlib.ExitStack() as stack:
        if ACKNOWLEDGEMENT in protections:
            stack.enter_context(mock.patch.object(Outbox, "page", _page_that_deletes))
        if BREAKER in protections:
            stack.enter_context(mock.patch.object(breaker, "_stop", _never))
        yield


_PAGE = Outbox.page


async def _page_that_deletes(outbox: Outbox, *bounds: object) -> list[Row]:
    rows = await _PAGE(outbox, *bounds)  # type: ignore[arg-type]
    async with outbox._guard.pool.acquire() as connection:
        await connection.execute(statements("outbox")["delete"], [row.id for row in rows])
    return rows


def _never(*_: object) -> None:
    return None
