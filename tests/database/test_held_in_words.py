"""What holds each open fine back, in words and numbers; and the fines that no profile takes."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from prometheus_client import generate_latest

from service.operations.no_profile import CountWithoutProfile
from service.runtime.telemetry import Metrics
from tests.support.commands import Commands, MakeCommands
from tests.support.inputs import ABSENT
from tests.support.installation import institution, profile
from tests.support.write_path import Record, Row, WritePath, change, fine, profiles_of, response

SIS = profile(
    "SIS",
    fine_types=["OVERDUEFINE", "PRINT"],
    user_groups=["STUDENT", "STAFF"],
    owners=["MAIN"],
    minimum_age_days=14,
    minimum_amount="10.00",
)
SUMS = profile(
    "SUMS",
    currency="JPY",
    minimum_amount="1000",
    minimum_amount_scope="patron",
    credits={"included": True, "minimum_amount": "50"},
)
TEXT = institution() + SIS + SUMS
WHY = ("--reason", "asked", "--operator", "ann")


@pytest.fixture
def commands(make_commands: MakeCommands) -> Commands:
    return make_commands(TEXT)


def owned_by(code: str) -> Row:
    return {"library_id": "1", "library_code": code, "library_name": code}


def patron(number: int, *values: str, name: str = "Doe", group: str = "STUDENT") -> Row:
    identifiers = [{"type": "02", "value": value} for value in values]
    members = {"patron_id": f"P-{number}", "name": name, "user_group": group}
    return {**members, "identifiers": identifiers}


def sis(fine_id: str, **overrides: object) -> Record:
    """Due for SIS, were it not for the overrides."""
    whose = {"patron": patron(1, "A1"), "owner": owned_by("MAIN")}
    members = {**whose, "loan_id": f"loan of {fine_id}", **overrides}
    return fine(fine_id=fine_id, **members)


async def words(commands: Commands, fine_id: str) -> list[str]:
    which = ("held", "show", "--institution", "6050", "--fine", fine_id)
    (shown,) = await commands.lines(*which)
    result: list[str] = shown["in_words"]
    return result


async def check_not_released(commands: Commands) -> None:
    """A fine that no profile takes cannot be released."""
    (row,) = await commands.lines(
        "held", "release", "--institution", "6050", "--fine", "type", *WHY, code=1
    )
    assert row["outcome"].startswith("no profile of the institution takes it")


NOBODY = "no profile takes its type, currency, owner and user group together"


async def test_held_show_says_what_the_fine_has_and_what_the_profile_asks_for(
    path: WritePath, commands: Commands
) -> None:
    today = datetime.now(ZoneInfo("Europe/Vienna"))
    await path.take(
        sis("due"),
        sis("young", created_at=(today - timedelta(days=3)).isoformat()),
        sis("small", amount="5.00"),
        sis("type", type="NEWTYPE"),
        sis("owner", owner=owned_by("LAW")),
        sis("group", patron=patron(2, "A2", group="VISITOR")),
        sis("credit", type="CREDIT", amount="-1.00"),
        sis("none", patron=patron(3)),
        sis("two", patron=patron(4, "A4", "B4")),
        sis("empty", patron=patron(5, " ")),
        sis("nameless", patron=patron(6, "A6", name=" ")),
        sis("kept", exportable=False),
        sis("disputed"),
        sis("all", currency="EUR", type="NEWTYPE", owner=ABSENT),
        change(fine_id="disputed", kind="disputed", amount=ABSENT, currency=ABSENT),
    )
    until: date = (today + timedelta(days=11)).date()
    usd = "USD, the profile takes JPY"
    expected = {
        "due": ["SIS: due: the next run takes it"],
        "young": [f"SIS: due from {until} (14 days after creation)"],
        "small": ["SIS: 5.00 of 10.00 minimum"],
        "owner": ["SIS: owned by LAW, the profile takes fines of MAIN and of the institution"],
        "group": ["SIS: user group VISITOR, the profile takes STAFF, STUDENT"],
        "credit": ["SIS: a credit, the profile includes no credits"],
        "none": ["SIS: no identifier of type 02"],
        "two": ["SIS: 2 identifiers of type 02, the profile needs one"],
        "empty": ["SIS: the identifier of type 02 is empty"],
        "nameless": ["SIS: the patron has no name"],
        "kept": ["SIS: created as not exportable; `held release` offers it to the next run"],
        "disputed": ["SIS: in dispute since 2026-09-02 (change C-1 of ALMA)"],
    }
    for fine_id, members in expected.items():
        lost = [NOBODY] if fine_id in ("owner", "group", "credit") else []
        assert await words(commands, fine_id) == [*members, f"SUMS: {usd}", *lost], fine_id
    kind = "type NEWTYPE, the profile takes"
    assert await words(commands, "type") == [
        f"SIS: {kind} OVERDUEFINE, PRINT",
        f"SUMS: {usd}; {kind} OVERDUEFINE",
        NOBODY,
    ]
    assert (await words(commands, "all"))[0] == (
        f"SIS: EUR, the profile takes USD; {kind} OVERDUEFINE, PRINT"
    )
    await check_not_released(commands)


async def test_a_minimum_of_the_patrons_fines_together_is_told_with_their_sum(
    path: WritePath, commands: Commands
) -> None:
    members = {"currency": "JPY", "patron": patron(1, "A1")}
    await path.take(
        fine(fine_id="F-1", amount="600", **members),
        fine(fine_id="F-2", amount="399", **members),
        fine(fine_id="C-1", type="CREDIT", amount="-49", **members),
    )
    sis_words = "SIS: JPY, the profile takes USD"
    together = "SUMS: 999 of 1000 minimum, all of the patron's fines that are due together"
    assert await words(commands, "F-1") == [sis_words, together]
    assert await words(commands, "F-2") == [sis_words, together]
    credit = ["SIS: JPY, the profile takes USD; a credit, the profile includes no credits"]
    assert await words(commands, "C-1") == [*credit, "SUMS: 49 of 50 minimum"]
    listed = await commands.lines("held", "list", "--waiting", "--institution", "6050")
    assert [(row["fine_id"], row["reason"]) for row in listed] == [
        ("C-1", "below_minimum"),
        ("F-1", "below_minimum"),
        ("F-2", "below_minimum"),
    ]
    assert await commands.lines("held", "list") == []
    await path.take(fine(fine_id="F-3", amount="1", **members))
    assert await words(commands, "F-1") == [sis_words, "SUMS: due: the next run takes it"]


async def test_a_refusal_is_told_with_its_batch_line_and_reason(
    path: WritePath, commands: Commands
) -> None:
    await path.take(sis("F-1"))
    profiles = profiles_of(TEXT)
    await path.exports(profiles).run_profile(profiles.profiles[0])
    await path.take(response(profile="SIS", outcome="refused", reason="no such student"))
    (listed,) = await commands.lines("held", "list", "--because", "refused")
    line = await path.value("SELECT bursar_transaction_id FROM export_line")
    assert listed["in_words"].startswith("refused on ")
    assert listed["in_words"].endswith(f"in batch 1 of SIS (line {line}): no such student")
    assert (await words(commands, "F-1"))[0] == f"SIS: {listed['in_words']}"


async def check_findings(commands: Commands) -> None:
    """The findings of `check` about the open fines of the profiles and institutions."""
    checked = await commands.call("check", "--json")
    lines = [json.loads(line) for line in checked.stdout.splitlines()]
    result = [line["finding"] for line in lines if line["subject"] == "fines"]
    whose, nobody = "institution 6050", "no profile takes"
    held = "user group STUDENT; 1 in dispute, not exportable or refused"
    eur = "type OVERDUEFINE, EUR, owned by"
    usd = "type OVERDUEFINE, USD"
    home = "77 (it has no profile)"
    assert result == [
        "no two open fines have the same loan, type and sum",
        "SIS: takes 1 of 6 open fines",
        "SUMS: takes 0 of 6 open fines",
        f"{whose}: {nobody} 3 open fines: {eur} MAIN, {held}",
        f"{whose}: {nobody} 1 open fine: credits, USD, owned by MAIN, user group STUDENT",
        f"{whose}: {nobody} 1 open fine: {eur} the institution, {held}",
        f"institution {home}: {nobody} 1 open fine: {usd}, owned by MAIN, user group STUDENT",
    ]


async def test_fines_that_no_profile_takes_are_in_the_list_the_check_and_a_gauge(
    path: WritePath, commands: Commands
) -> None:
    await path.take(
        sis("taken"),
        sis("A-1", currency="EUR"),
        sis("A-2", currency="EUR"),
        sis("A-3", currency="EUR", exportable=False),
        sis("B-1", type="CREDIT", amount="-1.00"),
        sis("B-2", currency="EUR", exportable=False, owner=None),
        fine(fine_id="Z-1", institution_id="77"),
    )
    listed = await commands.lines("held", "list")
    assert [(row["institution_id"], row["fine_id"], row["reason"]) for row in listed] == [
        ("6050", "A-1", "no_profile"),
        ("6050", "A-2", "no_profile"),
        ("6050", "A-3", "not_exportable"),
        ("6050", "B-1", "no_profile"),
        ("6050", "B-2", "not_exportable"),
        ("77", "Z-1", "no_profile"),
    ]
    assert {row["profile"] for row in listed} == {None}
    assert [row["in_words"] for row in listed if row["reason"] == "no_profile"] == [
        *[NOBODY] * 3,
        "the institution has no profile",
    ]
    assert [row["fine_id"] for row in await commands.lines("held", "list", "--limit", "2")] == [
        "A-1",
        "A-2",
    ]
    members = ("--institution", "6050", "--patron", "P-1")
    assert len(await commands.lines("held", "list", *members)) == 5
    assert await commands.lines("held", "list", "--institution", "6050", "--patron", "P-9") == []
    only = await commands.lines("held", "list", "--because", "no_profile", "--institution", "77")
    assert [row["fine_id"] for row in only] == ["Z-1"]

    await check_findings(commands)

    first, second = Metrics(), Metrics()
    assert await CountWithoutProfile(path.pool, first, profiles_of(TEXT)).run_once() == 4
    await path.take(sis("A-4", currency="EUR"))
    # Not due again yet: the second instance shows what the first one has counted.
    assert await CountWithoutProfile(path.pool, second, profiles_of(TEXT)).run_once() == 4
    line = b'bursar_held_now{reason="no_profile"} 4.0\n'
    assert all(line in generate_latest(metrics.registry) for metrics in (first, second))


async def test_a_user_group_alone_decides_and_a_refused_fine_is_listed_once(
    path: WritePath, commands: Commands
) -> None:
    await path.take(sis("G", patron=patron(9, "A9", group="VISITOR")), sis("R", currency="EUR"))
    await path.pool.execute("UPDATE fine SET refused_reason = 'no' WHERE fine_id = 'R'")
    listed = await commands.lines("held", "list", "--waiting")
    result = [(row["fine_id"], row["profile"], row["reason"]) for row in listed]
    assert result == [("G", None, "no_profile"), ("R", None, "refused")]
