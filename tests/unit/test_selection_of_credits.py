"""Selection: a credit leaves with its fine or after it (rules.md, 5)."""

from dataclasses import replace

import pytest

from service.core.words import Mode, Status
from service.export.profiles.profile import AmountScope, Credits
from service.export.selection import Candidate, Exclusion, select
from tests.unit.test_profiles_selection import (
    BELOW,
    CUTOFF_ON,
    DISPUTED,
    YOUNG,
    example,
    of,
    on,
)

WAITS = Exclusion.WAITS_FOR_FINE
BOTH, ONLY = Mode.EXPORT_IMPORT, Mode.EXPORT_ONLY


def credit_of(status: Status, fine_id: str = "f") -> Candidate:
    return of(-1_00, fine_id="c", credit_of=fine_id, credited=status)


@pytest.mark.parametrize(
    ("sentence", "mode", "candidates", "in_batch", "expected"),
    [
        ("its fine leaves with it", BOTH, [of(5_00), credit_of(Status.ACTIVE)], None, [None] * 2),
        ("it comes before its fine", BOTH, [credit_of(Status.ACTIVE), of(5_00)], None, [None] * 2),
        (
            "its fine leaves and closes",
            ONLY,
            [of(5_00), credit_of(Status.ACTIVE)],
            None,
            [None] * 2,
        ),
        ("its fine is not there", BOTH, [credit_of(Status.ACTIVE)], None, [WAITS]),
        (
            "another fine leaves",
            BOTH,
            [of(5_00), credit_of(Status.ACTIVE, "g")],
            None,
            [None, WAITS],
        ),
        (
            "its fine is in dispute",
            BOTH,
            [of(5_00, in_dispute=True), credit_of(Status.IN_DISPUTE)],
            None,
            [DISPUTED, WAITS],
        ),
        (
            "its fine is too young",
            BOTH,
            [of(5_00, **on(13)), credit_of(Status.ACTIVE)],
            None,
            [YOUNG, WAITS],
        ),
        ("both have room", BOTH, [of(5_00), credit_of(Status.ACTIVE)], {"c", "f"}, [None, None]),
        ("its fine has no room", BOTH, [of(5_00), credit_of(Status.ACTIVE)], {"c"}, [None, WAITS]),
        ("its fine is at the bursar", BOTH, [credit_of(Status.TRANSFERRED)], None, [None]),
        ("its fine is, this only exports", ONLY, [credit_of(Status.TRANSFERRED)], None, [WAITS]),
        ("its fine closed", BOTH, [credit_of(Status.CLOSED)], None, [None]),
        ("its fine closed, this only exports", ONLY, [credit_of(Status.CLOSED)], None, [None]),
        ("it names no fine that counts", ONLY, [of(-1_00)], None, [None]),
    ],
)
def test_a_credit_waits_for_its_fine(
    sentence: str,
    mode: Mode,
    candidates: list[Candidate],
    in_batch: set[str] | None,
    expected: list[Exclusion | None],
) -> None:
    profile = example()
    profile = replace(
        profile, credits=Credits(included=True), terms=replace(profile.terms, mode=mode)
    )
    exclusions, _ = select(profile, candidates, CUTOFF_ON, 0, in_batch)
    assert list(exclusions) == expected, sentence


def test_a_credit_that_waits_does_not_count_towards_the_patrons_minimum() -> None:
    profile = replace(
        example(),
        minimum_amount=5_00,
        minimum_amount_scope=AmountScope.PATRON,
        credits=Credits(included=True),
    )
    candidates = [of(5_00), credit_of(Status.ACTIVE, "g")]
    assert select(profile, candidates, CUTOFF_ON) == ((None, WAITS), 5_00)
    together = [of(5_00), credit_of(Status.ACTIVE)]
    assert select(profile, together, CUTOFF_ON) == ((BELOW, BELOW), 4_00)
