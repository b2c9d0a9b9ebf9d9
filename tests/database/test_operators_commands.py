"""The operators' commands: selection, confirmation, exit codes, JSON lines, nothing personal."""

import json
import os
import re
from pathlib import Path

import pytest

from service.cli.shown import log_format
from service.export.manifest import Manifest
from service.operations import rejected
from service.settings import Settings
from tests.support.commands import Commands
from tests.support.inputs import ABSENT
from tests.support.write_path import (
    WritePath,
    change,
    fine,
    payment,
    profiles_of,
    record,
    response,
)

PROFILE = """
[[institution]]
id = "6050"
zone = "Europe/Berlin"

[[profile]]
code = "SIS"
name = "Student information system"
institution = "6050"
mode = "export_import"
currency = "USD"
fine_types = ["OVERDUEFINE"]
match = "02"
overpayment = "hold"
"""
WHY = ("--reason", "the bursar confirmed it")
PAID = ("--institution", "6050", "--source", "SAP", "--id", "PAY-1")


@pytest.fixture
def commands(database_url: str, bootstrap_servers: str, tmp_path: Path) -> Commands:
    file = tmp_path / "profiles.toml"
    file.write_text(PROFILE)
    return Commands(database_url, bootstrap_servers, BURSAR_PROFILES_FILE=str(file))


async def export(path: WritePath) -> None:
    profiles = profiles_of(PROFILE)
    await path.exports(profiles).run_profile(profiles.profiles[0])


async def test_a_held_overpayment_is_listed_shown_and_released(
    path: WritePath, commands: Commands
) -> None:
    await path.take(fine())
    await export(path)
    await path.take(payment(amount="100.00"))
    (listed,) = await commands.lines("parked", "list", "--wait", "overpaid_held")
    assert (listed["id"], listed["fine_id"], listed["offset"]) == ("PAY-1", "F-1", 0)
    place = ("--topic", listed["topic"], "--partition", "0", "--offset", "0")
    (shown,) = await commands.lines("parked", "show", *place)
    assert "value" not in shown
    (told,) = await commands.lines("parked", "release", *PAID, *WHY, "--operator", "ann")
    assert told["done"]
    (action,) = await path.rows("SELECT operator, reason, subject FROM operator_action")
    assert (action["operator"], action["reason"]) == ("ann", WHY[1])
    assert json.loads(str(action["subject"]))["id"] == "PAY-1"
    assert (await commands.call("parked", "list")).stdout == "nothing is parked\n"


async def test_all_is_asked_for_once_and_filtered(path: WritePath, commands: Commands) -> None:
    await path.take(
        payment(), payment(payment_id="PAY-2"), payment(payment_id="P", institution_id="77")
    )
    every = ("parked", "discard", "--all", "--institution", "6050", *WHY)
    refused = await commands.call(*every, answer="n\n")
    assert refused.exit_code == 1
    assert "Discard parked records: 2?" in refused.stderr
    assert len(await commands.lines("parked", "list")) == 3
    assert [one["done"] for one in await commands.lines(*every, "--yes")] == [True, True]
    assert [one["institution_id"] for one in await commands.lines("parked", "list")] == ["77"]
    assert (await commands.call(*every, "--yes")).exit_code == 1  # nothing found


@pytest.mark.parametrize(
    "arguments",
    [
        ("parked", "release", *PAID),  # no reason
        ("parked", "release", *WHY),
        ("parked", "release", *PAID, "--all", *WHY),
        ("parked", "release", *PAID, "--topic", "t", *WHY),
        ("parked", "release", "--institution", "6050", *WHY),
        ("parked", "release", "--topic", "t", "--offset", "0", *WHY),
        ("parked", "discard", *PAID, "--wait", "unknown_fine", *WHY),
        ("parked", "discard", *PAID, "--reason", "  "),
        ("parked", "discard", *PAID, "--reason", "x" * 501),
        ("parked", "discard", *PAID, "--reason", "a\x1b[2J"),
        ("parked", "list", "--older-than", "soon"),
        ("parked", "list", "--wait", "nothing"),
        ("rejected", "replay", *WHY),
        ("rejected", "list", "--reason", "because"),
        ("rejected", "list", "--because", "because"),
        ("rejected", "list", "--state", "shut"),
        ("held", "release", *WHY),
        ("held", "release", "--fine", "F-1", *WHY),
        ("held", "release", "--all", "--profile", "NONE", "--yes", *WHY),
    ],
)
async def test_a_call_without_a_meaning_is_a_matter_of_usage(
    commands: Commands, arguments: tuple[str, ...]
) -> None:
    assert (await commands.call(*arguments)).exit_code == 2


async def test_the_former_name_of_a_filter_works_with_a_warning(
    path: WritePath, commands: Commands
) -> None:
    await path.take(payment(amount="0.00"), payment(payment_id="PAY-2", currency="XXX"))
    named = await commands.call("rejected", "list", "--because", "invalid_amount", "--json")
    former = await commands.call("rejected", "list", "--reason", "invalid_amount", "--json")
    assert (former.stdout, named.stderr) == (named.stdout, "")
    assert former.stderr == "bursar-bridge: --reason: is called --because in this list\n"
    assert len(former.stdout.splitlines()) == 1
    both = ("--reason", "invalid_amount", "--because", "invalid_amount")
    assert (await commands.call("rejected", "list", *both)).exit_code == 2


async def test_what_is_not_there_is_refused(commands: Commands) -> None:
    for command in ("parked show", "rejected show"):
        assert (await commands.call(*command.split(), *PAID)).exit_code == 1
    for command in ("parked release", "parked discard", "rejected replay", "rejected discard"):
        assert (await commands.call(*command.split(), *PAID, *WHY)).exit_code == 1
    unknown = ("--institution", "6050", "--fine", "F-1")
    assert (await commands.call("held", "show", *unknown)).exit_code == 1
    assert (await commands.call("held", "release", *unknown, *WHY)).exit_code == 1


async def test_what_still_waits_is_told_with_exit_code_1(
    path: WritePath, commands: Commands
) -> None:
    await path.take(payment())
    (told,) = await commands.lines("parked", "release", *PAID, *WHY, code=1)
    assert (told["done"], told["outcome"]) == (False, "still waits: unknown_fine")


async def test_a_payment_and_a_change_of_one_id_are_told_apart(
    path: WritePath, commands: Commands
) -> None:
    await path.take(payment(source="X", payment_id="1"), change(source="X", change_id="1"))
    both = ("--institution", "6050", "--source", "X", "--id", "1")
    assert (await commands.call("parked", "discard", *both, *WHY)).exit_code == 2
    (told,) = await commands.lines("parked", "discard", *both, "--record", "change", *WHY)
    assert told["record"] == "change"


async def test_a_rejected_record_shows_its_bytes_only_when_asked(
    path: WritePath, commands: Commands
) -> None:
    await path.take(fine(amount="0.00"))
    for command in (
        ["rejected", "list"],
        ["rejected", "show", "--institution", "6050", "--id", "F-1"],
    ):
        ended = await commands.call(*command)
        assert ended.exit_code == 0
        assert "invalid_amount" in ended.stdout
        assert "Jane" not in ended.output
    shown = await commands.call(
        "rejected", "show", "--institution", "6050", "--id", "F-1", "--value"
    )
    assert "Doe, Jane" in shown.stdout


async def test_rejected_records_are_listed_by_what_they_say_they_are(
    path: WritePath, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejected, "PAGE_RECORDS", 2)
    await path.take(
        fine(amount="0.00"),
        payment(amount="1,00"),
        record("bursar-payment.v1", b"{"),
        payment(payment_id="PAY-2", amount="0.00"),
        change(amount="0.00"),
    )
    listed = await commands.lines("rejected", "list")
    told = {(one["topic"], one["offset"]): (one["source"], one["id"]) for one in listed}
    assert sorted(told.values(), key=str) == [
        ("ALMA", "C-1"),
        ("SAP", "PAY-1"),
        ("SAP", "PAY-2"),
        (None, "F-1"),
        (None, None),
    ]
    table = await commands.call("rejected", "list")
    assert "PAY-2" in table.stdout
    assert "Jane" not in table.output


async def test_the_reason_of_rejected_records_has_one_name_in_list_and_replay(
    path: WritePath, commands: Commands
) -> None:
    await path.take(payment(amount="0.00"), record("bursar-payment.v1", b"{"))
    for name in ("--because", "--reason"):
        (one,) = await commands.lines("rejected", "list", name, "invalid_json")
        assert one["reason"] == "invalid_json"


async def test_a_waiting_reversal_is_told_from_a_payment(
    path: WritePath, commands: Commands
) -> None:
    back = {"kind": "reversal", "reverses_payment_id": "PAY-1", "fine_id": ABSENT}
    await path.take(payment(payment_id="R", **back), payment(payment_id="P"), change())
    listed = await commands.lines("parked", "list")
    assert {one["id"]: (one["record"], one["kind"]) for one in listed} == {
        "R": ("payment", "reversal"),
        "P": ("payment", "payment"),
        "C-1": ("change", "paid"),
    }


async def test_all_open_rejected_records_are_replayed_oldest_first(
    path: WritePath, commands: Commands
) -> None:
    """The reversal of a payment that was rejected itself goes once the payment has gone."""
    await path.take(
        payment(fine_id=ABSENT, bursar_transaction_id="1000000000000001"),
        payment(payment_id="R", kind="reversal", reverses_payment_id="PAY-1", fine_id=ABSENT),
        record("bursar-payment.v1", b"{"),
        fine(),
    )
    await export(path)
    told = await commands.lines("rejected", "replay", "--all", "--yes", *WHY, code=1)
    assert [(one["reason"], one["done"], one["outcome"]) for one in told[:2]] == [
        ("unknown_line", True, "applied"),
        ("original_rejected", True, "applied"),
    ]
    assert told[2]["outcome"].startswith("would be rejected again: invalid_json")
    states = await commands.lines("rejected", "list", "--state", "open")
    assert [one["reason"] for one in states] == ["invalid_json"]
    (only,) = await commands.lines(
        "rejected", "discard", "--all", "--because", "invalid_json", "--yes", *WHY
    )
    assert only["done"]


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
    assert [(one["fine_id"], one["profile"], one["reason"]) for one in listed] == [
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
    assert counted.pop("unknown_type") == 1  # for people it is F-6, which no profile takes
    assert counted == {one["reason"]: 1 for one in listed if one["profile"] == "SIS"}
    assert len(await commands.lines("held", "list", "--profile", "SIS")) == 4
    assert await commands.lines("held", "list", "--institution", "77") == []


async def test_only_what_a_person_may_decide_is_released(
    path: WritePath, commands: Commands
) -> None:
    await path.take(
        fine(exportable=False),
        fine(fine_id="F-2"),
        fine(fine_id="F-3", exportable=False),
        change(fine_id="F-2", kind="disputed", amount=ABSENT, currency=ABSENT),
    )

    def one(fine_id: str) -> tuple[str, ...]:
        return ("held", "release", "--institution", "6050", "--fine", fine_id, *WHY)

    (told,) = await commands.lines(*one("F-1"))
    assert told["outcome"] == "released"
    (again,) = await commands.lines(*one("F-1"), code=1)
    assert again["outcome"] == "is not held back"
    (refused,) = await commands.lines(*one("F-2"), code=1)
    assert refused["outcome"].startswith("is in dispute: the library restores it")
    (rest,) = await commands.lines("held", "release", "--all", "--yes", *WHY)
    assert (rest["fine_id"], rest["done"]) == ("F-3", True)
    await export(path)
    (exported,) = await commands.lines(*one("F-1"), code=1)
    assert exported["outcome"] == "is not open: Transferred"
    (shown,) = await commands.lines("held", "show", "--institution", "6050", "--fine", "F-1")
    assert [one["action"] for one in shown["decisions"]] == ["held_release"]
    assert (shown["exported_by"], shown["exported_as"] is None) == ("SIS", False)


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
    told = (await commands.call("check")).stdout
    notes = [re.split(r" {2,}", row)[2] for row in told.splitlines() if "so far" in row]
    assert notes == [
        "SIS: fine_types: nothing has OVERDUFINE so far",
        "SIS: owners: nothing has MIAN so far",
        "SIS: match: nothing has 03 so far",
    ]


def test_what_is_logged_beside_a_table_is_text_on_a_terminal_unless_told(tmp_path: Path) -> None:
    places = {
        "database_url": "postgresql://a@127.0.0.1/a",
        "kafka_bootstrap_servers": "127.0.0.1:1",
    }
    settings = Settings.model_validate(places)
    told = Settings.model_validate({**places, "log_format": "json"})
    first, second = os.openpty()
    with (
        os.fdopen(first, "rb"),
        os.fdopen(second, "w") as terminal,
        (tmp_path / "log").open("w") as file,
    ):
        formats = [log_format(one, out) for one in (settings, told) for out in (terminal, file)]
    assert formats == ["console", "json", "json", "json"]


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
    told = []
    for fine_id in ("F-1", "F-2"):
        await path.take(fine(fine_id=fine_id, amount="6.00", patron=named))
        which = ("--institution", "6050", "--fine", "F-1")
        (shown,) = await commands.lines("held", "show", *which)
        told.append({one["profile"]: one["says"] for one in shown["profiles"]})
        assert shown["held_back"] == []
    assert told == [
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
    await export(path)
    assert await path.value("SELECT status FROM fine") == "Transferred"


async def test_no_id_is_cut_and_no_record_steers_the_terminal(
    path: WritePath, commands: Commands
) -> None:
    long = "P" * 100
    await path.take(payment(payment_id=long), payment(payment_id="\x1b[2J", amount="0.00"))
    narrow = Commands(commands.database_url, commands.servers, COLUMNS="60")
    assert long in (await narrow.call("parked", "list")).stdout
    named = ("--institution", "6050", "--source", "SAP", "--id", "\x1b[2J", "--value")
    shown = await narrow.call("rejected", "show", *named)
    assert shown.exit_code == 0
    assert "\x1b" not in shown.stdout
    assert r"\x1b[2J" in shown.stdout
