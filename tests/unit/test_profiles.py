"""The configuration file: what it may say, and how it is refused."""

from pathlib import Path

import pytest

from service.core.ledger import DEFAULT_LOST_TYPES, Terms
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
from service.export.profiles.reading import (
    InvalidProfile,
    overlaps,
    parse_profiles,
    read_profiles,
    warnings,
)
from tests.golden.batches import GOLDEN

EXAMPLE = GOLDEN / "profiles.toml"
INSTITUTION = '[[institution]]\nid = "972"\nzone = "America/New_York"\n'


def table(*lines: str, code: str = "p", **fields: str) -> str:
    """A [[profile]] with what it must have; `fields` are TOML values, "" leaves one out."""
    known = {
        "name": '"P"',
        "institution": '"972"',
        "mode": '"export_only"',
        "currency": '"USD"',
        "fine_types": '["OVERDUEFINE"]',
        "match": '"02"',
    }
    options = [f"{key} = {value}" for key, value in {**known, **fields}.items() if value]
    return "\n".join(["[[profile]]", f'code = "{code}"', *options, *lines, ""])


def parse(*tables: str) -> Profiles:
    return parse_profiles("".join((INSTITUTION, *tables)), Path("p.toml"))


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
    assert main.known_types == {"OVERDUEFINE", "LOSTITEMREPLACEMENTFEE", "CARDRENEWAL", "CREDIT"}
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
    assert only.lost_types == DEFAULT_LOST_TYPES


def test_profiles_are_found_by_code_and_by_institution() -> None:
    read = read_profiles(EXAMPLE)
    assert [one.code for one in read.of_institution("972")] == ["main_usd", "rest"]
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


# The line counts from the file's first; INSTITUTION has 3, then [[profile]] is 4 and code is 5.
@pytest.mark.parametrize(
    ("tables", "line", "field", "rule"),
    [
        (table(code=""), 5, "profile.code", "1 to 40 letters"),
        (table(code="a-b"), 5, "profile.code", "1 to 40 letters"),
        (table(code="a" * 41), 5, "profile.code", "1 to 40 letters"),
        (table(name=""), 4, "profile.name", "must be there"),
        (table(fine_types=""), 4, "profile.fine_types", "must be there"),
        (table(mode=""), 4, "profile.mode", "must be there"),
        (table(currency=""), 4, "profile.currency", "must be there"),
        (table(match=""), 4, "profile.match", "must be there"),
        (table(mode='"export"'), 8, "profile.mode", "'export_only' or 'export_import'"),
        (table(currency='"usd"'), 9, "profile.currency", "must be in upper case"),
        (table(currency='"CLF"'), 9, "profile.currency", "0 to 3 decimals"),
        (table(fine_types="[]"), 10, "profile.fine_types", "at least 1"),
        (table(fine_types='"OVERDUEFINE"'), 10, "profile.fine_types", "must be a list"),
        (table(fine_types='["A",\n"B",\n7]'), 10, "profile.fine_types", "must be a text in quotes"),
        (table(fine_types='["CREDIT"]'), 10, "profile.fine_types", "[profile.credits]"),
        (table(match='"a b"'), 11, "profile.match", "1 to 40 letters"),
        (table(match="2"), 11, "profile.match", "must be a text in quotes"),
        (table(institution='"973"'), 7, "profile.institution", "[[institution]]"),
        (table('color = "red"'), 12, "profile.color", "is not an option"),
        (table('cron = "0 3 * *"'), 12, "profile.cron", "five fields"),
        (table('cron = "0 3 * * * *"'), 12, "profile.cron", "five fields"),
        (table('cron = "0 25 * * *"'), 12, "profile.cron", "five fields"),
        (table('cron = "0 3 * * *"\ninterval_seconds = 60'), 12, "profile.cron", "beside"),
        (table('cron_zone = "UTC"'), 12, "profile.cron_zone", "beside cron"),
        (table('cron = "0 3 * * *"\ncron_zone = "Mars"'), 13, "profile.cron_zone", "IANA"),
        (table("minimum_age_days = 3651"), 12, "profile.minimum_age_days", "equal to 3650"),
        (table("minimum_age_days = -1"), 12, "profile.minimum_age_days", "equal to 0"),
        (table("minimum_age_days = 1.0"), 12, "profile.minimum_age_days", "must be a whole number"),
        (
            table("minimum_age_days = true"),
            12,
            "profile.minimum_age_days",
            "must be a whole number",
        ),
        (table('minimum_age_days = "1"'), 12, "profile.minimum_age_days", "must be a whole number"),
        (table("minimum_amount = 10"), 12, "profile.minimum_amount", "must be a text in quotes"),
        (table("minimum_amount = 10.00"), 12, "profile.minimum_amount", "must be a text in quotes"),
        (table('minimum_amount = "10.001"'), 12, "profile.minimum_amount", "more decimals"),
        (table('minimum_amount = "-1"'), 12, "profile.minimum_amount", "not be negative"),
        (table('minimum_amount_scope = "all"'), 12, "profile.minimum_amount_scope", "'patron'"),
        (table("user_groups = []"), 12, "profile.user_groups", "at least 1"),
        (table('owners = [""]'), 12, "profile.owners", "at least 1 character"),
        (table("institution_owned = false\nowners = []"), 13, "profile.owners", "nothing could"),
        (table("institution_owned = 0"), 12, "profile.institution_owned", "must be true or false"),
        (table("fines_max = 0"), 12, "profile.fines_max", "equal to 1"),
        (table("bytes_max = 8_000_001"), 12, "profile.bytes_max", "equal to 8000000"),
        (table("interval_seconds = 0"), 12, "profile.interval_seconds", "equal to 1"),
        (table('lost_fines = "keep"'), 12, "profile.lost_fines", "'close' or 'transfer'"),
        (table('overpayment = "keep"'), 12, "profile.overpayment", "'credit', 'reject' or 'hold'"),
        (table('overpayment_max = "1.005"'), 12, "profile.overpayment_max", "more decimals"),
        (table('overpayment_max = "-1"'), 12, "profile.overpayment_max", "not be negative"),
        (table("overpayment_max = 100"), 12, "profile.overpayment_max", "a text in quotes"),
        (
            table('overpayment_max = "100.5"', currency='"JPY"'),
            12,
            "profile.overpayment_max",
            "more decimals",
        ),
        (table('refused_lines = "drop"'), 12, "profile.refused_lines", "'hold' or 'retry'"),
        (table('empty_run = ""'), 12, "profile.empty_run", "'nothing' or 'empty_batch'"),
        (
            table("[profile.credits]", "included = true", "minimum_age = 3"),
            14,
            "profile.credits.minimum_age",
            "is not an option",
        ),
        (
            table("[profile.credits]", 'minimum_amount = "x"'),
            13,
            "profile.credits.minimum_amount",
            "plain digits",
        ),
        (
            table("credits = { includd = true }"),
            12,
            "profile.credits.includd",
            "is not an option",
        ),
        (
            table("credits.included = 1"),
            12,
            "profile.credits.included",
            "must be true or false",
        ),
        (table("[profile.labels]", 'exprt = "E"'), 13, "profile.labels.exprt", "'export'"),
        (table("[profile.labels]", 'export = ""'), 13, "profile.labels.export", "at least 1"),
        (
            table("[profile.labels]", f'export = "{"x" * 61}"'),
            13,
            "profile.labels.export",
            "at most 60",
        ),
        (table("[profile.labels]", 'export = "a\\nb"'), 13, "profile.labels.export", "one line"),
        (table() + table(), 13, "profile.code", "unique over all institutions"),
        (table() + table("# [[profile]]", 'name2 = "x"', code="q"), 21, "profile.name2", "option"),
        ('[[profiles]]\ncode = "p"\n', 4, "profiles", "is not an option"),
        (INSTITUTION, 5, "institution.id", "unique"),
        ('[[institution]]\nid = "0972"\nzone = "UTC"\n', 5, "institution.id", "digits"),
        (
            '[[institution]]\nid = 972\nzone = "UTC"\n',
            5,
            "institution.id",
            "must be a text in quotes",
        ),
        ('[[institution]]\nid = "9"\nzone = "Mars/Base"\n', 6, "institution.zone", "IANA"),
        ('[[institution]]\nid = "9"\nzone = "../etc/x"\n', 6, "institution.zone", "IANA"),
        ('[[institution]]\nid = "9"\n', 4, "institution.zone", "must be there"),
        ("[[profile]]\ncode = \n", 5, "file", "TOML"),
        ('[[profile]]\ncode = "a"\ncode = "b"\n', 6, "file", "TOML"),
    ],
)
def test_a_file_is_refused_with_line_field_and_rule(
    tables: str, line: int, field: str, rule: str
) -> None:
    with pytest.raises(InvalidProfile) as refused:
        parse(tables)
    error = refused.value
    assert (error.line, error.field) == (line, field), str(error)
    assert rule in error.rule
    assert str(error) == f"p.toml, line {line}: {field}: {error.rule}"


def test_a_refusal_never_shows_the_value() -> None:
    for option in ("mode", "currency", "match", "fine_types", "name", "institution"):
        for secret in ('"se cret-1"', '["se cret-1", 7]', "{ secret = 7 }"):
            if option == "name" and secret.startswith('"'):
                continue
            with pytest.raises(InvalidProfile) as refused:
                parse(table(**{option: secret}))
            assert "cret-1" not in str(refused.value)


def faults_in(text: str) -> list[str]:
    """A refusal's lines without the path and without the rule: `7: profile.mode`."""
    with pytest.raises(InvalidProfile) as refused:
        parse(text)
    first, *_ = lines = str(refused.value).splitlines()
    assert first.startswith(f"p.toml, line {refused.value.line}: {refused.value.field}: ")
    return [": ".join(line.removeprefix("p.toml, line ").split(": ")[:2]) for line in lines]


def test_all_faults_are_told_in_the_order_of_their_lines() -> None:
    of_values = faults_in(table("fines_max = 0", mode='"x"'))
    fields = [fault.partition(": ")[2] for fault in of_values]
    assert fields == ["profile.mode", "profile.fines_max"]
    numbers = [int(fault.partition(":")[0]) for fault in of_values]
    assert numbers == sorted(numbers)


def test_all_rules_between_fields_and_tables_that_are_broken_are_told() -> None:
    broken = table(
        'cron = "soon"',
        'cron_zone = "Nowhere/Town"',
        "interval_seconds = 60",
        "owners = []",
        "institution_owned = false",
        'minimum_amount = "-1.00"',
    )
    other = table(institution='"98"', currency='"XXQ"', fine_types='["CREDIT"]')
    fields = [fault.partition(": ")[2] for fault in faults_in(broken + other)]
    assert sorted(fields) == sorted(
        [
            *("profile.cron", "profile.cron", "profile.cron_zone", "profile.owners"),
            *("profile.minimum_amount", "profile.code", "profile.institution"),
            *("profile.currency", "profile.fine_types"),
        ]
    )


def test_a_fault_of_one_field_hides_none_between_the_fields_of_other_tables() -> None:
    misspelt = table("fines_maximum = 1", 'cron_zone = "Nowhere/Town"', currency='"usd"')
    other = table("fines_max = 10", 'minimum_amount = "-1.00"', code="B", institution='"98"')
    fields = [fault.partition(": ")[2] for fault in faults_in(misspelt + other)]
    assert sorted(fields) == sorted(
        [
            *("profile.fines_maximum", "profile.cron_zone", "profile.currency"),
            *("profile.minimum_amount", "profile.institution"),
        ]
    )


def test_keys_in_a_text_of_several_lines_are_not_taken_for_keys() -> None:
    text = '"""\n[[profile]]\nmode = 1\n"""'
    with pytest.raises(InvalidProfile) as refused:
        parse(table("fines_max = 0", name=text))
    assert (refused.value.field, refused.value.line) == ("profile.name", 6)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidProfile, match="No such file"):
        read_profiles(tmp_path / "none.toml")
    path = tmp_path / "latin.toml"
    path.write_bytes(b'\n\nname = "\xfc"')
    with pytest.raises(InvalidProfile, match="line 3: file: must be UTF-8"):
        read_profiles(path)


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
