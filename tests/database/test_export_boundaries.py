"""Selection at its boundaries, by real runs: ages over daylight saving, amounts, holds, races."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from service.export.profiles.profile import Profiles
from service.export.profiles.reading import overlaps
from tests.support.exports import (
    check_sealed,
    exported,
    fines,
    held_back,
    lines_of_manifest,
    opened,
    patron,
    profiles_with,
)
from tests.support.installation import institution, profile
from tests.support.write_path import WritePath, fine, outbox_of, profile_of, profiles_of, write_path

ZONE = "America/New_York"


def in_new_york(profiles: Profiles) -> Profiles:
    return Profiles(
        profiles.institutions, tuple(replace(item, zone=ZONE) for item in profiles.profiles)
    )


# 8 March 2026 has 23 hours in New York (EST to EDT), 1 November 25.
@pytest.mark.parametrize(
    ("cutoff", "old_enough", "too_young"),
    [
        pytest.param(
            "2026-03-10T04:00:00Z",  # 00:00 EDT
            {"first": "2026-03-08T05:00:00Z", "last": "2026-03-09T03:59:59.999999Z"},
            {"next": "2026-03-09T04:00:00Z"},
            id="spring_at_midnight",
        ),
        pytest.param(
            "2026-03-10T03:59:59.999Z",  # 9 March, 23:59:59.999 EDT
            {"last": "2026-03-08T04:59:59.999999Z"},
            {"next": "2026-03-08T05:00:00Z", "longest": "2026-03-09T03:59:59Z"},
            id="spring_before_midnight",
        ),
        pytest.param(
            "2026-11-03T05:00:00Z",  # 00:00 EST
            {"first": "2026-11-01T04:00:00Z", "last": "2026-11-02T04:59:59.999999Z"},
            {"next": "2026-11-02T05:00:00Z"},
            id="autumn_at_midnight",
        ),
        pytest.param(
            "2026-11-03T04:59:59.999Z",  # 2 November, 23:59:59.999 EST
            {"last": "2026-11-01T03:59:59.999999Z"},
            {"next": "2026-11-01T04:00:00Z", "longest": "2026-11-02T04:59:59Z"},
            id="autumn_before_midnight",
        ),
    ],
)
async def test_an_age_counts_calendar_days_at_midnight_where_the_institution_is(
    path: WritePath, cutoff: str, old_enough: dict[str, str], too_young: dict[str, str]
) -> None:
    await path.take(
        *(
            fine(fine_id=name, patron=patron(name), created_at=at)
            for name, at in (old_enough | too_young).items()
        )
    )
    await opened(path, cutoff)
    assert await exported(path, in_new_york(profiles_with(more="minimum_age_days = 2"))) == sorted(
        old_enough
    )


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo", "UTC"])
async def test_the_first_and_the_last_instants_there_are_stop_no_run(
    path: WritePath, zone: str
) -> None:
    """In another zone their date may be beyond the calendar."""
    ends = {"first": "0001-01-01T00:00:00Z", "last": "9999-12-31T23:59:59.999999Z"}
    item = {"title": "Algorithms", "due_date": ends["first"]}
    await path.take(
        *(
            fine(fine_id=name, patron=patron(name), created_at=at, item=item)
            for name, at in ends.items()
        ),
        fine(fine_id="usual", patron=patron("usual"), item={**item, "due_date": ends["last"]}),
    )
    profiles = profiles_with()
    (profile,) = (replace(entry, zone=zone) for entry in profiles.profiles)
    assert await exported(path, Profiles(profiles.institutions, (profile,))) == ["first", "usual"]
    assert await path.value("SELECT bool_and(isfinite(created_at)) FROM fine")


def named(*identifiers: tuple[str, str]) -> list[dict[str, str]]:
    return [{"type": kind, "value": text} for kind, text in identifiers]


async def test_an_identifier_has_the_only_value_of_its_type_and_keeps_its_zeros(
    path: WritePath,
) -> None:
    people = {
        "zeros": named(("02", "0001230")),
        "beside others": named(("01", "7"), ("02", "0"), ("userName", "jane")),
        "beside an empty one": named(("02", ""), ("02", "00")),
        "none": named(),
        "of another type": named(("01", "7"), ("userName", "jane")),
        "empty": named(("02", "")),
        "blank": named(("02", " \u3000")),
        "several": named(("02", "1"), ("02", "2")),
        "twice the same": named(("02", "1"), ("02", "1")),
    }
    await path.take(
        *(fine(fine_id=name, patron=patron(name, identifiers=i)) for name, i in people.items())
    )
    profiles = profiles_with()
    assert await exported(path, profiles) == [
        "beside an empty one",
        "beside others",
        "twice the same",
        "zeros",
    ]
    (manifest,) = await check_sealed(path)
    assert held_back(manifest) == {"no_identifier": 5}
    (sent,) = await outbox_of(path.pool, "export-batch.v1")
    for text in (b"0001230", b"0", b"00"):
        assert b"<xb:value>" + text + b"</xb:value>" in (sent.value or b"")


async def test_a_user_name_is_missing_or_several_like_any_other_identifier(
    path: WritePath,
) -> None:
    people = {
        "one": named(("userName", "jane"), ("02", "7")),
        "none": named(("02", "7")),
        "several": named(("userName", "jane"), ("userName", "doe")),
    }
    await path.take(
        *(fine(fine_id=name, patron=patron(name, identifiers=i)) for name, i in people.items())
    )
    (profile,) = (replace(item, match="userName") for item in profiles_with().profiles)
    assert await exported(path, Profiles((), (profile,))) == ["one"]
    assert held_back((await check_sealed(path))[0]) == {"no_identifier": 2}


async def test_what_is_not_exportable_is_counted_and_what_is_of_no_profile_is_not(
    path: WritePath,
) -> None:
    await path.take(
        fine(fine_id="yes", patron=patron("P-1"), exportable=True),
        fine(fine_id="no", patron=patron("P-2"), exportable=False),
        fine(fine_id="unknown", patron=patron("P-3"), type="OVERDUEFINE2"),
        fine(fine_id="lower case", patron=patron("P-4"), type="overduefine"),
        fine(fine_id="credit", patron=patron("P-5"), type="CREDIT", amount="-1.00"),
    )
    assert await exported(path, profiles_with()) == ["yes"]
    (manifest,) = await check_sealed(path)
    assert held_back(manifest) == {"not_exportable": 1}


async def test_two_profiles_that_overlap_are_told_and_each_fine_goes_out_once(
    path: WritePath, database_url: str
) -> None:
    """Both run at once over the same accounts; the rest of each goes out with its own profile."""
    profiles = profiles_of(
        institution()
        + profile("A", fine_types=["OVERDUEFINE", "OF_A"], fines_max=3)
        + profile("B", fine_types=["OVERDUEFINE", "OF_B"], fines_max=3)
    )
    (overlap,) = overlaps(profiles)
    assert (overlap.first, overlap.second, overlap.types) == ("A", "B", frozenset({"OVERDUEFINE"}))
    for code in "AB":
        records = [
            fine(fine_id=f"{code}-{n}", patron=patron(n), type=f"OF_{code}") for n in range(20)
        ]
        await path.take(*records)
    await path.take(*fines(40, of_each=2))
    async with write_path(database_url, partition=1) as other:
        await asyncio.gather(
            path.exports(profiles).run_profile(profile_of(profiles, "A")),
            other.exports(profiles).run_profile(profile_of(profiles, "B")),
        )
    manifests = [sent.data for sent in await outbox_of(path.pool, "export-manifest.v1")]
    lines = [
        (str(manifest["profile"]), line)
        for manifest in manifests
        for line in lines_of_manifest(manifest)
    ]
    names = [line["fine_id"] for _, line in lines]
    assert len(names) == len(set(names)) == 80
    drawn = [int(line["bursar_transaction_id"][:-1]) for _, line in lines]  # no check digit
    assert sorted(drawn) == list(range(min(drawn), min(drawn) + 80)), (
        "no number twice, none left out"
    )
    numbers = sorted(int(str(manifest["export_number"])) for manifest in manifests)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert all(line["fine_id"].startswith((code, "F")) for code, line in lines)
