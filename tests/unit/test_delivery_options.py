"""With which options a delivery goes on, and from where it reads then."""

from __future__ import annotations

import pytest

from service.delivery.state import (
    Chain,
    DeliveryRequest,
    Last,
    Options,
    OtherOptions,
    State,
    continued,
)
from service.export.formats import XmlFormat
from service.export.formats.csv_format import CsvFormat

DAILY = Options(("DAILY",))
DELIVERED = State({"topic": {0: 7}}, {"972/DAILY": Chain(Last(3))}, {}, DAILY)
OTHERS = (
    Options(()),
    Options(("WEEKLY",)),
    Options(("DAILY", "WEEKLY")),
    Options(("DAILY",), "csv"),
    Options(("DAILY",), "fixed", "ab" * 32),
)


@pytest.mark.parametrize("options", OTHERS, ids=str)
def test_other_options_are_refused_and_where_meant_keep_what_was_delivered(
    options: Options,
) -> None:
    with pytest.raises(OtherOptions, match="--change-options"):
        continued("state", DELIVERED, options, may_change=False)
    changed = continued("state", DELIVERED, options, may_change=True)
    assert (changed.chains, changed.options) == (DELIVERED.chains, options)
    is_read_again = options.profiles != DAILY.profiles
    assert changed.positions == ({} if is_read_again else DELIVERED.positions)


def test_before_anything_was_delivered_any_options_will_do() -> None:
    saved = State({"topic": {0: 7}}, {}, {}, Options(("DALY",)))
    changed = continued("state", saved, DAILY, may_change=False)
    assert (changed.positions, changed.options) == ({}, DAILY)


def test_a_layout_that_was_changed_is_another_format() -> None:
    saved = State({}, DELIVERED.chains, {}, Options((), "fixed", "ab" * 32))
    with pytest.raises(OtherOptions, match="layout abababababab"):
        continued("state", saved, Options((), "fixed", "cd" * 32), may_change=False)


def test_a_state_without_options_takes_those_that_it_is_given() -> None:
    saved = State({"topic": {0: 7}}, DELIVERED.chains)
    assert continued("state", saved, DAILY, may_change=False) == DELIVERED


def test_profiles_in_another_order_are_the_same_options() -> None:
    both = [DeliveryRequest(frozenset(codes), {}).options(XmlFormat()) for codes in ("AB", "BA")]
    assert both[0] == both[1] != DeliveryRequest(frozenset("AB"), {}).options(CsvFormat())
