"""The configuration file: what it may say, and how it is refused."""

from pathlib import Path

import pytest

from service.core.terms import DEFAULT_LOST_TYPES, Terms
from service.core.words import Kind, LostRule, Mode, Overpayment, ProfileCode, RefusedRule
from service.export.batch import Limits
from service.export.profiles.profile import (
    AmountScope,
    Concern,
    Credits,
    EmptyRun,
    Institution,
    Overlap,
    Profiles,
    ProfileWarning,
)
from service.export.profiles.reading import overlaps, parse_profiles, read_profiles, warnings
from tests.golden.batches import GOLDEN
from tests.support.profile_files import parse, table

EXAMPLE = GOLDEN / "profiles.toml"


def test_the_example_says_what_it_says() -> None:
    read = read_profiles(EXAMPLE)
    assert read.institutions == (
        Institution("972", "America/New_York", "Example University"),
        Institution("973", "Europe/Vienna", None),
    )
    main = read.profile("main_usd")
    assert main is not None
    assert main.zone == "America/New_York"
    assert main.owners == frozenset({"MAIN", "LAW"})
    assert main.user_groups == frozenset({"UNDERGRAD", "GRAD"})
    assert main.types == {"OVERDUEFINE", "LOSTITEMREPLACEMENTFEE", "CREDIT"}
    assert (main.minimum_amount, main.minimum_amount_scope) == (10_00, AmountScope.PATRON)
    assert main.credits == Credits(True, 1, 50)
    assert main.interval_seconds == 86_400
    assert main.limits == Limits(500, 4_000_000)
    assert main.empty_run is EmptyRun.EMPTY_BATCH
    assert not main.credit_references
    assert not main.institution_owned
    assert main.terms == Terms(
        profile=ProfileCode("main_usd"),
        mode=Mode.EXPORT_IMPORT,
        lost=LostRule.TRANSFER,
        lost_types=frozenset({"LOSTITEMREPLACEMENTFEE"}),
        close_paid_lost_loan=True,
        overpayment=Overpayment.HOLD,
        refused=RefusedRule.RETRY,
        labels=((Kind.EXPORT_AND_PAID, "Exported"), (Kind.PAYMENT, "Payment Imported")),
        overpayment_max=250_00,
    )
    assert main.terms.label(Kind.PAYMENT) == "Payment Imported"
    assert main.terms.label(Kind.EXPORT) == "Export"


def test_what_is_not_said_has_the_documented_default() -> None:
    (only,) = parse(table()).profiles
    assert only.user_groups is None
    assert only.owners is None
    assert only.institution_owned
    assert (only.minimum_age_days, only.minimum_amount) == (0, 0)
    assert only.minimum_amount_scope is AmountScope.FINE
    assert only.credits == Credits()
    assert only.interval_seconds is None
    assert only.limits == Limits(1_000, 8_000_000)
    assert only.empty_run is EmptyRun.NOTHING
    assert only.credit_references
    assert only.terms == Terms(ProfileCode("p"), Mode.EXPORT_ONLY)
    assert only.terms.lost_types == DEFAULT_LOST_TYPES


def test_an_institution_says_what_becomes_of_sums_without_a_line() -> None:
    rows = (("1", ""), ("2", 'lump_payments = "hold"'), ("3", 'lump_payments = "oldest_first"'))
    read = parse(
        *(f'[[institution]]\nid = "{name}"\nzone = "UTC"\n{more}\n' for name, more in rows)
    )
    rules = {name: read.lump_rules[name].value for name, _ in rows}
    assert rules == {"1": "hold", "2": "hold", "3": "oldest_first"}


def test_profiles_are_found_by_code_and_by_institution() -> None:
    read = read_profiles(EXAMPLE)
    assert [item.code for item in read.of_institution("972")] == ["main_usd", "rest"]
    assert read.profile("nobody") is None
    assert read.institution("973") == Institution("973", "Europe/Vienna")
    assert read.institution("1") is None


def test_an_empty_file_is_no_profile() -> None:
    assert parse_profiles("", Path("p.toml")) == Profiles((), ())


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_bytes(b"\xef\xbb\xbf" + EXAMPLE.read_bytes())
    assert read_profiles(path) == read_profiles(EXAMPLE)


def test_words_are_normalised_as_those_of_events_are() -> None:
    (only,) = parse(table(user_groups='["E\u0301TUDIANT"]')).profiles
    assert only.user_groups == frozenset({"\u00c9TUDIANT"})


CREDITS = "[profile.credits]\nincluded = true\n"


@pytest.mark.parametrize(
    ("sentence", "first", "second", "types"),
    [
        ("the same", table(code="a"), table(code="b"), {"OVERDUEFINE"}),
        (
            "other types",
            table(code="a"),
            table(code="b", fine_types='["CARDRENEWAL"]'),
            None,
        ),
        (
            "both take credits",
            table(CREDITS, code="a"),
            table(CREDITS, code="b", fine_types='["CARDRENEWAL"]'),
            {"CREDIT"},
        ),
        (
            "one takes credits",
            table(CREDITS, code="a"),
            table(code="b", fine_types='["CARDRENEWAL"]'),
            None,
        ),
        ("other currency", table(code="a"), table(code="b", currency='"EUR"'), None),
        (
            "other groups",
            table('user_groups = ["A"]', code="a"),
            table('user_groups = ["B"]', code="b"),
            None,
        ),
        (
            "any group meets one",
            table(code="a"),
            table('user_groups = ["B"]', code="b"),
            {"OVERDUEFINE"},
        ),
        (
            "other libraries, both institution-owned",
            table('owners = ["A"]', code="a"),
            table('owners = ["B"]', code="b"),
            {"OVERDUEFINE"},
        ),
        (
            "other libraries, one institution-owned",
            table('owners = ["A"]', code="a"),
            table('owners = ["B"]', "institution_owned = false", code="b"),
            None,
        ),
        (
            "no library and any library, one institution-owned",
            table("owners = []", code="a"),
            table("institution_owned = false", code="b"),
            None,
        ),
        (
            "any library twice",
            table("institution_owned = false", code="a"),
            table("institution_owned = false", code="b"),
            {"OVERDUEFINE"},
        ),
        (
            "ages separate nothing",
            table("minimum_age_days = 1", code="a"),
            table("minimum_age_days = 900", code="b"),
            {"OVERDUEFINE"},
        ),
    ],
)
def test_profiles_that_can_claim_the_same_fine_are_found(
    sentence: str, first: str, second: str, types: set[str] | None
) -> None:
    expected = [Overlap(ProfileCode("a"), ProfileCode("b"), frozenset(types))] if types else []
    assert overlaps(parse(first, second)) == expected, sentence


def test_profiles_of_two_institutions_never_overlap() -> None:
    assert overlaps(read_profiles(EXAMPLE)) == []
    other = '[[institution]]\nid = "9"\nzone = "UTC"\n'
    assert overlaps(parse(other, table(code="a"), table(code="b", institution='"9"'))) == []


def test_what_breaks_readers_or_leaves_fines_behind_is_warned_of() -> None:
    large = '[[institution]]\nid = "65536"\nzone = "UTC"\n'
    fits = '[[institution]]\nid = "65535"\nzone = "UTC"\n'
    read = parse(large, fits, table(code="kwd", institution='"65535"', currency='"KWD"'))
    assert warnings(read) == [
        ProfileWarning(Concern.THREE_DECIMALS, "kwd"),
        ProfileWarning(Concern.LARGE_INSTITUTION_ID, "65536"),
        ProfileWarning(Concern.NO_PROFILE, "972"),
        ProfileWarning(Concern.NO_PROFILE, "65536"),
    ]
    assert warnings(read_profiles(EXAMPLE)) == []
