"""An invalid configuration file: each fault with its line, field and rule."""

from pathlib import Path

import pytest

from service.export.profiles.reading import InvalidProfile, read_profiles
from tests.support.profile_files import INSTITUTION, parse, table


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
        (table(mode='"export"'), 8, "profile.mode", "must be 'export_only' or 'export_import'"),
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
        (
            table("minimum_age_days = 3651"),
            12,
            "profile.minimum_age_days",
            "must be less than or equal to 3650",
        ),
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
        (table('owners = [""]'), 12, "profile.owners", "must have at least 1 character"),
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
        (table('library_payments = "pay"'), 12, "profile.library_payments", "'reject' or 'credit'"),
        (table('library_payments = "credit"'), 12, "profile.library_payments", "includes credits"),
        (table('import_credits = "hold"'), 12, "profile.import_credits", "'confirm' or 'export'"),
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
        ('mode = "export_only"\n', 4, "institution.mode", "is not an option"),
        (INSTITUTION, 5, "institution.id", "unique"),
        ('[[institution]]\nid = "0972"\nzone = "UTC"\n', 5, "institution.id", "digits"),
        (
            '[[institution]]\nid = 972\nzone = "UTC"\n',
            5,
            "institution.id",
            "must be a text in quotes",
        ),
        (
            '[[institution]]\nid = "9"\nzone = "UTC"\nlump_payments = "newest"\n',
            7,
            "institution.lump_payments",
            "'hold' or 'oldest_first'",
        ),
        ('[[institution]]\nid = "9"\nzone = "Mars/Base"\n', 6, "institution.zone", "IANA"),
        ('[[institution]]\nid = "9"\nzone = "../etc/x"\n', 6, "institution.zone", "IANA"),
        ('[[institution]]\nid = "9"\n', 4, "institution.zone", "must be there"),
        ("[[profile]]\ncode = \n", 5, "file", "TOML"),
        ('[[profile]]\ncode = "a"\ncode = "b"\n', 6, "file", "TOML"),
    ],
)
def test_an_invalid_file_is_reported_with_line_field_and_rule(
    tables: str, line: int, field: str, rule: str
) -> None:
    with pytest.raises(InvalidProfile) as raised:
        parse(tables)
    error = raised.value
    assert error.field == field, str(error)
    assert rule in error.rule
    assert str(error) == f"p.toml, line {line}: {field}: {error.rule}"


def test_an_error_never_shows_the_value() -> None:
    for option in ("mode", "currency", "match", "fine_types", "name", "institution"):
        for secret in ('"se cret-1"', '["se cret-1", 7]', "{ secret = 7 }"):
            if option == "name" and secret.startswith('"'):
                continue
            with pytest.raises(InvalidProfile) as raised:
                parse(table(**{option: secret}))
            assert "cret-1" not in str(raised.value)


def faults_in(text: str) -> list[str]:
    """An error's lines without the path and without the rule: `7: profile.mode`."""
    with pytest.raises(InvalidProfile) as raised:
        parse(text)
    first, *_ = lines = str(raised.value).splitlines()
    assert f": {raised.value.field}: " in first
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
            *("profile.fines_maximum", "profile.cron_zone", "profile.cron_zone"),
            *("profile.currency",),
            *("profile.minimum_amount", "profile.institution"),
        ]
    )


def test_a_fault_of_one_field_hides_none_between_the_other_fields_of_its_table() -> None:
    broken = table(
        "fines_max = 0",
        'cron_zone = "UTC"',
        "owners = []",
        "institution_owned = false",
        "credits = { included = false, minimum_age_days = -1, minimum_amount = '-1.00' }",
        fine_types='["CREDIT"]',
        institution='"98"',
    )
    fields = [fault.partition(": ")[2] for fault in faults_in(broken + table())]
    assert sorted(fields) == sorted(
        [
            *("profile.fines_max", "profile.cron_zone", "profile.owners", "profile.fine_types"),
            *("profile.credits.minimum_age_days", "profile.credits.minimum_amount"),
            *("profile.institution", "profile.code"),
        ]
    )


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (table("cron = 3", 'cron_zone = "UTC"'), "profile.cron"),
        (table('minimum_amount = "0.001"', currency="7"), "profile.currency"),
        (
            table('credits = { included = "yes" }', fine_types='["CREDIT"]'),
            "profile.credits.included",
        ),
        (table(institution="7"), "profile.institution"),
    ],
)
def test_no_rule_between_fields_is_applied_to_a_field_that_is_at_fault(
    text: str, field: str
) -> None:
    assert [fault.partition(": ")[2] for fault in faults_in(text)] == [field]


def test_keys_in_a_text_of_several_lines_are_not_taken_for_keys() -> None:
    text = '"""\n[[profile]]\nmode = 1\n"""'
    with pytest.raises(InvalidProfile) as raised:
        parse(table("fines_max = 0", name=text))
    assert str(raised.value).startswith("p.toml, line 6: profile.name: ")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidProfile, match="No such file"):
        read_profiles(tmp_path / "none.toml")
    path = tmp_path / "latin.toml"
    path.write_bytes(b'\n\nname = "\xfc"')
    with pytest.raises(InvalidProfile, match="line 3: file: must be UTF-8"):
        read_profiles(path)


def test_a_file_that_is_nested_too_deep_is_named() -> None:
    with pytest.raises(InvalidProfile, match="line 1: file: is nested too deep"):
        parse(f"line = {'[' * 10_000}")
