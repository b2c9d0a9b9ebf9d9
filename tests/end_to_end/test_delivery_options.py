"""A delivery keeps the profiles and the format that it was begun with."""

from __future__ import annotations

import json

from tests.support.delivering import Drop
from tests.support.sealed import sealed_chain


async def test_a_profile_that_no_batch_has_is_a_fault_and_loses_nothing(drop: Drop) -> None:
    chain = sealed_chain(2)
    drop.publish(*chain)
    wrong = await drop.once("--profile", "DALY")
    assert (wrong.code, wrong.rows) == (1, [])
    assert "--profile: no batch of DALY was seen, is DAILY meant?" in wrong.problems
    right = await drop.once("--profile", "DAILY")
    assert (right.code, right.numbers) == (0, [1, 2]), right.problems
    drop.check_holds(*chain)


async def test_other_profiles_and_formats_are_refused_until_they_are_meant(drop: Drop) -> None:
    daily, weekly = sealed_chain(3), sealed_chain(2, "WEEKLY")
    drop.publish(*daily[:2], *weekly)
    assert (await drop.once("--profile", "DAILY")).numbers == [1, 2]
    drop.publish(daily[2])
    for options in (("--profile", "WEEKLY"), ("--profile", "DAILY", "--format", "csv")):
        ended = await drop.once(*options)
        assert (ended.code, ended.rows) == (1, []), options
        assert "was begun with --profile DAILY, --format xml; now it is called" in ended.problems
    drop.check_holds(*daily[:2])

    changed = await drop.once("--profile", "WEEKLY", "--profile", "DAILY", "--change-options")

    assert changed.code == 0, changed.problems
    assert sorted((row["profile"], row["batch_number"]) for row in changed.rows) == [
        *(("972/DAILY", 3), ("972/WEEKLY", 1), ("972/WEEKLY", 2))
    ]
    drop.check_holds(*daily, *weekly)
    again = await drop.once("--profile", "DAILY", "--profile", "WEEKLY")
    assert (again.code, again.rows) == (0, []), again.problems


async def test_a_state_of_a_release_before_goes_on_with_the_options_it_is_given(
    drop: Drop,
) -> None:
    chain = sealed_chain(2)
    drop.publish(chain[0])
    await drop.once("--profile", "DAILY")
    path = drop.folder / f".{drop.group}.json"
    state = json.loads(path.read_text())
    del state["options"]
    path.write_text(json.dumps(state))
    drop.publish(chain[1])
    assert (await drop.once("--profile", "DAILY")).numbers == [2]
    assert json.loads(path.read_text())["options"] == {
        "profiles": ["DAILY"],
        "format": "xml",
        "layout_sha256": None,
    }


async def test_a_running_delivery_logs_a_profile_that_no_batch_has(drop: Drop) -> None:
    async with drop.running("--profile", "DALY"):
        await drop.until_logged("profile_not_seen")
