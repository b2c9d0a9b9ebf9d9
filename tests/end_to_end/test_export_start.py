"""What a start tells of the profiles: two that overlap are named, one that is broken stops it."""

from __future__ import annotations

import asyncio

from tests.support.installation import institution, profile
from tests.support.process import Site, end
from tests.support.programs import start_program

SECONDS_MAX = 60


async def test_two_profiles_that_can_claim_the_same_fine_are_named_at_start(site: Site) -> None:
    types = {"A": ["OVERDUEFINE", "LOST"], "B": ["CARD", "LOST"], "C": ["OTHER"]}
    site.write_profiles(
        institution() + "".join(profile(code, fine_types=types[code]) for code in types)
    )
    await site.start()

    async def started() -> bool:
        return any(line["event"] == "started" for line in site.log())

    await site.until(started, SECONDS_MAX)
    result = [line for line in site.log() if line["event"] == "profiles_overlap"]
    assert [(item["first"], item["second"], item["types"]) for item in result] == [
        ("A", "B", ["LOST"])
    ]
    assert {item["level"] for item in result} == {"warning"}


async def test_a_profile_that_does_not_parse_stops_the_start_with_line_and_reason(
    site: Site,
) -> None:
    site.write_profiles(institution() + profile("A", fine_types=["LOST"], minimum=5))
    process = await start_program("run", environment=site.environment)
    try:
        async with asyncio.timeout(SECONDS_MAX):
            out, problems = await process.communicate()
    finally:
        await end(process)
    assert process.returncode not in (0, None)
    assert b"line 14: profile.minimum: is not an option" in out + problems
