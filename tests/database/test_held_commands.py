"""The commands that say why a fine is not exported, and that release it."""

import re
from pathlib import Path

import pytest

from service.export.manifest import Manifest
from tests.support.commands import Commands, MakeCommands
from tests.support.deciding import PROFILE, check_published, export
from tests.support.inputs import ABSENT
from tests.support.write_path import WritePath, change, fine, profiles_of, response


@pytest.fixture
def commands(make_commands: MakeCommands) -> Commands:
    return make_commands(PROFILE)


WHY = ("--reason", "the bursar confirmed it")


async def test_held_fines_are_those_of_the_manifest(path: WritePath, commands: Commands) -> None:
    nobody = {"patron_id": "P-2", "name": " ", "user_group": "S", "identifiers": []}
    nameless = {**nobody, "identifiers": [{"type": "02", "value": "1"}]}
    await path.take(
        fine(),
        fine(fine_id="F-2", patron=nobody),
        fine(fine_id="F-3", patron={**nameless, "patron_id": "P-3"}),
        fine(fine_id="F-4", exportable=False),
        fine(fine_id="F-5"),
        fine(fine_id="F-6", type="NEWTYPE"),
        fine(fine_id="F-7", exportable=False, currency="EUR"),
        change(fine_id="F-5", kind="disputed", amount=ABSENT, currency=ABSENT),
    )
    listed = await commands.lines("held", "list")
    assert [(item["fine_id"], item["profile"], item["reason"]) for item in listed] == [
        ("F-2", "SIS", "no_identifier"),
        ("F-3", "SIS", "no_patron_name"),
        ("F-4", "SIS", "not_exportable"),
        ("F-5", "SIS", "in_dispute"),
        ("F-6", None, "no_profile"),
        ("F-7", None, "not_exportable"),
    ]
    profiles = profiles_of(PROFILE)
    manifests: list[Manifest] = []
    await path.exports(profiles).run_profile(profiles.profiles[0], manifests.append)
    counted = {reason.value: count for reason, count in manifests[0].held_back}
    assert counted == {item["reason"]: 1 for item in listed if item["profile"] == "SIS"}
    assert len(await commands.lines("held", "list", "--profile", "SIS")) == 4
    assert await commands.lines("held", "list", "--institution", "77") == []


async def test_check_names_what_a_profile_asks_for_and_nothing_has(
    path: WritePath, commands: Commands, tmp_path: Path
) -> None:
    """The brokers are away, which is a fault; the notes come all the same."""
    file = tmp_path / "slips.toml"
    slips = PROFILE.replace('["OVERDUEFINE"]', '["OVERDUEFINE", "OVERDUFINE"]').replace("02", "03")
    file.write_text(f'{slips}owners = ["MAIN", "MIAN"]\nuser_groups = ["S"]\n')
    commands = Commands(commands.database_url, commands.servers, BURSAR_PROFILES_FILE=str(file))
    assert "so far" not in (await commands.call("check")).stdout
    patron = {"patron_id": "P-1", "name": "Doe", "user_group": "S"}
    named = {**patron, "identifiers": [{"type": "02", "value": "1"}]}
    owner = {"library_id": "1", "library_code": "MAIN", "library_name": "Main"}
    await path.take(fine(patron=named, owner=owner))
    output = (await commands.call("check")).stdout
    notes = [re.split(r" {2,}", row)[2] for row in output.splitlines() if "so far" in row]
    assert notes == [
        "SIS: fine_types: nothing has OVERDUFINE so far",
        "SIS: owners: nothing has MIAN so far",
        "SIS: match: nothing has 03 so far",
    ]


async def test_a_fine_that_is_just_not_due_is_told_why(
    path: WritePath, commands: Commands, tmp_path: Path
) -> None:
    """The minimum is the patron's: the fine alone would be below it."""
    patron = {"patron_id": "P-1", "name": "Doe", "user_group": "S"}
    named = {**patron, "identifiers": [{"type": "02", "value": "1"}]}
    minimum = 'minimum_amount = "10.00"\nminimum_amount_scope = "patron"'
    file = tmp_path / "two.toml"
    others = PROFILE.split("[[profile]]")[1].replace("SIS", "EURO").replace("USD", "EUR")
    file.write_text(f"{PROFILE}\n{minimum}\n[[profile]]{others}")
    commands = Commands(commands.database_url, commands.servers, BURSAR_PROFILES_FILE=str(file))
    result = []
    for fine_id in ("F-1", "F-2"):
        await path.take(fine(fine_id=fine_id, amount="6.00", patron=named))
        which = ("--institution", "6050", "--fine", "F-1")
        (shown,) = await commands.lines("held", "show", *which)
        result.append({item["profile"]: item["says"] for item in shown["profiles"]})
        assert shown["held_back"] == []
    assert result == [
        {"SIS": "below_minimum", "EURO": "not_this_profile"},
        {"SIS": "due", "EURO": "not_this_profile"},
    ]


@pytest.mark.parametrize(
    "minimum",
    [
        'minimum_amount = "5.00"\nminimum_amount_scope = "patron"',
        '[profile.credits]\nminimum_amount = "5.00"',
    ],
)
async def test_a_credit_below_a_minimum_is_not_held_back_and_told_to_wait(
    path: WritePath, commands: Commands, tmp_path: Path, minimum: str
) -> None:
    file = tmp_path / "minimum.toml"
    table = "" if "credits" in minimum else "\n[profile.credits]"
    file.write_text(f"{PROFILE}{minimum}{table}\nincluded = true\n")
    commands = Commands(commands.database_url, commands.servers, BURSAR_PROFILES_FILE=str(file))
    await path.take(fine(fine_id="C-1", type="CREDIT", amount="-4.99"))
    which = ("held", "show", "--institution", "6050", "--fine", "C-1")
    (shown,) = await commands.lines(*which)
    assert shown["profiles"] == [{"profile": "SIS", "says": "below_minimum"}]
    assert await commands.lines("held", "list") == []
    assert "says: below_minimum" in (await commands.call(*which)).stdout
    await path.take(fine(fine_id="C-2", type="CREDIT", amount="-5.00"))
    (shown,) = await commands.lines(*which[:-1], "C-2")
    assert shown["profiles"] == [{"profile": "SIS", "says": "due"}]


async def test_a_fine_that_no_profile_reaches_is_told_so(
    path: WritePath, commands: Commands
) -> None:
    await path.take(fine(institution_id="77"))
    ended = await commands.call("held", "show", "--institution", "77", "--fine", "F-1")
    assert ended.exit_code == 0
    assert ended.stderr == (
        "bursar-bridge: no profile of the institution is configured: nothing of it is exported\n"
    )


async def test_a_refused_line_is_released_with_the_bursars_word_on_record(
    path: WritePath, commands: Commands
) -> None:
    await path.take(fine())
    await export(path)
    await path.take(response(profile="SIS", outcome="refused", reason="no such student"))
    (listed,) = await commands.lines("held", "list")
    assert (listed["reason"], listed["refused_reason"]) == ("refused", "no such student")
    without = Commands(
        commands.database_url, commands.servers
    )  # no profiles: the same, of no profile
    (bare,) = await without.lines("held", "list")
    assert (bare["reason"], bare["profile"]) == ("refused", None)
    await commands.lines("held", "release", "--all", "--yes", *WHY)
    await check_published(path, commands.topic_prefix)
    await export(path)
    assert await path.value("SELECT status FROM fine") == "Transferred"
