"""Tables of states and events in the text of a test, with one outcome in each cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest


def cells(
    table: str, states: Iterable[str], events: Iterable[str], meaning: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    """State, event and outcome of each cell; the head of the table has the events.

    The table has all states and events in their order, and each outcome of `meaning`.
    """
    head, *lines = table.strip("\n").splitlines()
    width = len(head) - len(head.lstrip())
    columns = head.split()
    assert columns == list(events)
    rows = [(line[:width].strip(), line[width:].split()) for line in lines]
    assert [name for name, _ in rows] == list(states)
    result = [
        (name, column, meaning[code])
        for name, codes in rows
        for column, code in zip(columns, codes, strict=True)
    ]
    assert {outcome for *_, outcome in result} == set(meaning.values())
    return result


def each_cell(
    table: str, states: Iterable[str], events: Iterable[str], meaning: Mapping[str, str]
) -> pytest.MarkDecorator:
    """One test for each cell, which is given state, event and outcome."""
    return pytest.mark.parametrize(
        ("state", "event", "outcome"),
        [
            pytest.param(*cell, id=" / ".join(cell))
            for cell in cells(table, states, events, meaning)
        ],
    )
