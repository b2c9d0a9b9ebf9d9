"""Selection: which fines a profile exports, which it holds back (rules.md, 5)."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from service.core.words import RefusedRule, Status
from service.export.profiles.profile import AmountScope, Credits, Profile
from service.export.profiles.reading import read_profiles
from service.export.selection import (
    Candidate,
    Exclusion,
    exclusion_of,
    identifier_of,
    local_date,
    select,
)
from tests.golden.batches import GOLDEN

CUTOFF_ON = date(2026, 9, 12)
ELIGIBLE = None


def example() -> Profile:
    """Types OVERDUEFINE and LOSTITEMREPLACEMENTFEE of any group and owner; tests change it."""
    main = read_profiles(Path(GOLDEN / "profiles.toml")).profile("main_usd")
    assert main is not None
    return replace(
        main,
        user_groups=None,
        owners=None,
        institution_owned=True,
        minimum_age_days=0,
        minimum_amount=0,
        minimum_amount_scope=AmountScope.FINE,
        credits=Credits(),
        terms=replace(main.terms, refused=RefusedRule.HOLD),
    )


def fine(**fields: object) -> Candidate:
    sound = Candidate(
        institution_id="972",
        fine_id="f",
        type="OVERDUEFINE",
        remaining=5_00,
        currency="USD",
        created_on=CUTOFF_ON,
        library_code=None,
        user_group="GRAD",
        identifiers=(("01", "B1"), ("02", "0012345")),
        patron_name="Abel, Ann",
    )
    change: Callable[..., Candidate] = replace
    return change(sound, **fields)


OURS = Exclusion.NOT_THIS_PROFILE
TRIED_AGAIN = {"terms": replace(example().terms, refused=RefusedRule.RETRY)}
WITH_CREDITS = {"credits": Credits(included=True, minimum_age_days=2, minimum_amount=50)}
CREDIT_AGE = {"credits": Credits(True), "minimum_age_days": 9, "minimum_amount": 9_00}


def on(day: int) -> dict[str, object]:
    return {"created_on": date(2026, 9, day)}


def credit(remaining: int, day: int = 12) -> dict[str, object]:
    return {"type": "CREDIT", "remaining": remaining, **on(day)}


@pytest.mark.parametrize(
    ("sentence", "profile", "candidate", "exclusion"),
    [
        ("a sound fine", {}, {}, ELIGIBLE),
        ("another institution's", {}, {"institution_id": "973"}, OURS),
        ("nothing remains", {}, {"remaining": 0}, OURS),
        ("another currency", {}, {"currency": "EUR"}, OURS),
        ("a type of the other profile", {}, {"type": "CARDRENEWAL"}, OURS),
        ("a credit where none go along", {}, credit(-5_00), OURS),
        ("institution-owned, wanted", {"owners": frozenset()}, {}, ELIGIBLE),
        ("institution-owned, not wanted", {"institution_owned": False}, {}, OURS),
        ("any library", {}, {"library_code": "LAW"}, ELIGIBLE),
        ("a wanted library", {"owners": frozenset({"LAW"})}, {"library_code": "LAW"}, ELIGIBLE),
        ("another library", {"owners": frozenset({"LAW"})}, {"library_code": "MED"}, OURS),
        ("a wanted group", {"user_groups": frozenset({"GRAD"})}, {}, ELIGIBLE),
        ("another group", {"user_groups": frozenset({"STAFF"})}, {}, OURS),
        ("no group", {"user_groups": frozenset({"A"})}, {"user_group": ""}, OURS),
        ("exactly the age", {"minimum_age_days": 3}, on(9), ELIGIBLE),
        ("a day younger", {"minimum_age_days": 3}, on(10), Exclusion.TOO_YOUNG),
        ("of tomorrow", {}, on(13), Exclusion.TOO_YOUNG),
        ("read after the cutoff", {}, {"is_later": True}, Exclusion.TOO_YOUNG),
        ("exactly the minimum", {"minimum_amount": 5_00}, {}, ELIGIBLE),
        ("a cent less", {"minimum_amount": 5_01}, {}, Exclusion.BELOW_MINIMUM),
        ("in dispute", {}, {"in_dispute": True}, Exclusion.IN_DISPUTE),
        ("no identifier", {}, {"identifiers": ()}, Exclusion.NO_IDENTIFIER),
        ("an empty identifier", {}, {"identifiers": (("02", ""),)}, Exclusion.NO_IDENTIFIER),
        ("a blank identifier", {}, {"identifiers": (("02", " "),)}, Exclusion.NO_IDENTIFIER),
        (
            "two identifiers",
            {},
            {"identifiers": (("02", "1"), ("02", "2"))},
            Exclusion.NO_IDENTIFIER,
        ),
        ("one of another type", {}, {"identifiers": (("01", "1"),)}, Exclusion.NO_IDENTIFIER),
        ("no user name", {"match": "userName"}, {}, Exclusion.NO_IDENTIFIER),
        ("no name", {}, {"patron_name": ""}, Exclusion.NO_PATRON_NAME),
        ("a blank name", {}, {"patron_name": " \t"}, Exclusion.NO_PATRON_NAME),
        ("not exportable", {}, {"exportable": False}, Exclusion.NOT_EXPORTABLE),
        ("refused before", {}, {"refused": True}, Exclusion.REFUSED),
        ("5 held since its refusal, now retry", TRIED_AGAIN, {"refused": True}, Exclusion.REFUSED),
        ("a bad text", {}, {"texts_are_sound": False}, Exclusion.BAD_TEXT),
        ("a type in no profile", {}, {"type": "PARKING"}, OURS),
        ("a credit to be confirmed", {}, {"unconfirmed": True}, Exclusion.CREDIT_UNCONFIRMED),
        ("a credit", WITH_CREDITS, credit(-50, 10), ELIGIBLE),
        ("a small credit", WITH_CREDITS, credit(-49, 10), Exclusion.BELOW_MINIMUM),
        ("a young credit", WITH_CREDITS, credit(-50, 11), Exclusion.TOO_YOUNG),
        ("credits have their own age", CREDIT_AGE, credit(-1), ELIGIBLE),
    ],
)  # fmt: skip
def test_a_fine_is_selected_or_says_why_not(
    sentence: str,
    profile: dict[str, object],
    candidate: dict[str, object],
    exclusion: Exclusion | None,
) -> None:
    change: Callable[..., Profile] = replace
    chosen = change(example(), **profile)
    assert exclusion_of(chosen, fine(**candidate), CUTOFF_ON) is exclusion, sentence


REASONS: list[tuple[Exclusion, dict[str, object]]] = [
    (Exclusion.IN_DISPUTE, {"in_dispute": True}),
    (Exclusion.NO_IDENTIFIER, {"identifiers": ()}),
    (Exclusion.NO_PATRON_NAME, {"patron_name": ""}),
    (Exclusion.NOT_EXPORTABLE, {"exportable": False}),
    (Exclusion.REFUSED, {"refused": True}),
    (Exclusion.BAD_TEXT, {"texts_are_sound": False}),
    (Exclusion.CREDIT_UNCONFIRMED, {"unconfirmed": True}),
    (Exclusion.WAITS_FOR_FINE, {"credit_of": "g", "credited": Status.ACTIVE}),
]


@pytest.mark.parametrize("first", range(len(REASONS)))
def test_of_several_reasons_the_first_in_the_list_holds_a_fine_back(first: int) -> None:
    wrong: dict[str, object] = {}
    for _, change in REASONS[first:]:
        wrong |= change
    exclusions, _ = select(example(), [fine(**wrong)], CUTOFF_ON)
    assert exclusions == (REASONS[first][0],)


def test_the_reasons_of_the_manifest_are_the_held_back_ones_in_order() -> None:
    assert [item for item in Exclusion if item.is_held_back] == [reason for reason, _ in REASONS]


def test_a_fine_that_is_not_the_profiles_is_not_held_back_by_it() -> None:
    wrong = fine(currency="EUR", in_dispute=True, identifiers=(), patron_name="")
    assert exclusion_of(example(), wrong, CUTOFF_ON) is Exclusion.NOT_THIS_PROFILE


def test_an_identifier_keeps_its_leading_zeros_and_ignores_empty_ones_beside_it() -> None:
    assert identifier_of(example(), (("02", ""), ("02", "0012345"), ("01", "9"))) == "0012345"


@pytest.mark.parametrize(
    ("created", "cutoff", "exclusion"),
    [
        # 8 March 2026 has 23 hours in New York, 1 November 25.
        ("2026-03-08T04:59:59", "2026-03-09T04:00:00", ELIGIBLE),  # 7 March 23:59:59 EST
        ("2026-03-08T05:00:00", "2026-03-10T03:59:59", Exclusion.TOO_YOUNG),  # 8 to 9 March
        ("2026-03-08T05:00:00", "2026-03-10T04:00:00", ELIGIBLE),  # 8 to 10 March, 47 hours
        ("2026-11-01T03:59:59", "2026-11-02T05:00:00", ELIGIBLE),  # 31 October to 2 November
        ("2026-11-01T04:00:00", "2026-11-03T04:59:59", Exclusion.TOO_YOUNG),  # 1 to 2 November
        ("2026-11-01T04:00:00", "2026-11-03T05:00:00", ELIGIBLE),  # 1 to 3 November, 49 hours
    ],
)
def test_an_age_counts_calendar_days_where_the_institution_is(
    created: str, cutoff: str, exclusion: Exclusion | None
) -> None:
    profile = replace(example(), minimum_age_days=2)
    created_on, cutoff_on = (
        local_date(datetime.fromisoformat(instant).replace(tzinfo=UTC), profile.zone)
        for instant in (created, cutoff)
    )
    assert exclusion_of(profile, fine(created_on=created_on), cutoff_on) is exclusion


BELOW = Exclusion.BELOW_MINIMUM
DISPUTED = Exclusion.IN_DISPUTE
YOUNG = Exclusion.TOO_YOUNG


def of(remaining: int, **fields: object) -> Candidate:
    return fine(remaining=remaining, type="OVERDUEFINE" if remaining > 0 else "CREDIT", **fields)


def of_other_type(remaining: int) -> Candidate:
    return fine(remaining=remaining, type="CARDRENEWAL")


@pytest.mark.parametrize(
    ("sentence", "candidates", "taken", "expected"),
    [
        ("exactly the minimum", [of(6_00), of(4_00)], 0, [None, None]),
        ("a cent less", [of(6_00), of(3_99)], 0, [BELOW, BELOW]),
        ("with what was taken", [of(1)], 9_99, [None]),
        ("a credit counts against", [of(10_00), of(-1)], 0, [BELOW, BELOW]),
        ("credits alone count absolutely", [of(-10_00)], 0, [None]),
        ("fines and credits level", [of(50_00), of(-50_00)], 0, [BELOW, BELOW]),
        ("held back does not count", [of(6_00), of(4_00, in_dispute=True)], 0, [BELOW, DISPUTED]),
        ("another's does not count", [of(6_00), of_other_type(4_00)], 0, [BELOW, OURS]),
        ("too young does not count", [of(9_99), of(1, **on(13))], 0, [BELOW, YOUNG]),
        ("nobody's", [], 0, []),
    ],
)  # fmt: skip
def test_a_minimum_per_patron_counts_all_that_passes_the_rest(
    sentence: str, candidates: list[Candidate], taken: int, expected: list[Exclusion | None]
) -> None:
    profile = replace(
        example(),
        minimum_amount=10_00,
        minimum_amount_scope=AmountScope.PATRON,
        credits=Credits(included=True),
    )
    exclusions, _ = select(profile, candidates, CUTOFF_ON, taken)
    assert list(exclusions) == expected, sentence


def test_a_minimum_per_fine_looks_at_each_fine_alone() -> None:
    profile = replace(example(), minimum_amount=5_00)
    exclusions, _ = select(profile, [of(4_99), of(5_00)], CUTOFF_ON)
    assert exclusions == (BELOW, None)
