"""Selection at its boundaries, by real runs: ages over daylight saving, amounts, holds, races."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import asyncpg
import pytest

from service.export.profiles.profile import Profiles
from service.export.profiles.reading import overlaps
from tests.support.exports import (
    all_of,
    check_sealed,
    fine_ids,
    fines,
    held_back,
    lines_of_manifest,
    only,
    patron,
    profiles_with,
    run,
    waiters,
)
from tests.support.inputs import ABSENT, fine_created
from tests.support.write_path import (
    Record,
    WritePath,
    change,
    fine,
    outbox_of,
    profile_of,
    profiles_of,
    record,
    write_path,
)

ZONE = "America/New_York"


async def opened(path: WritePath, cutoff: str) -> None:
    """An open run fixes the cutoff; the job goes on with it."""
    await path.pool.execute(
        "INSERT INTO export_run (institution_id, profile, run_id, cutoff, state)"
        " VALUES ('6050', 'bursar', 'r', $1::text::timestamptz, 'open')",
        cutoff,
    )


async def exported(path: WritePath, profiles: Profiles) -> list[str]:
    """What goes out, of everything sealed so far."""
    await run(path, profiles)
    return all_of(fine_ids(await check_sealed(path)))


def in_new_york(profiles: Profiles) -> Profiles:
    return Profiles(
        profiles.institutions, tuple(replace(one, zone=ZONE) for one in profiles.profiles)
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
    (profile,) = (replace(one, zone=zone) for one in profiles.profiles)
    assert await exported(path, Profiles(profiles.institutions, (profile,))) == ["first", "usual"]
    assert await path.value("SELECT bool_and(isfinite(created_at)) FROM fine")


def debit(name: str, amount: str, **overrides: object) -> Record:
    return fine(fine_id=name, amount=amount, **overrides)


def credit(name: str, amount: str, **overrides: object) -> Record:
    return fine(fine_id=name, amount=amount, type="CREDIT", **overrides)


async def test_an_amount_is_exactly_the_minimum_or_one_minor_unit_less(path: WritePath) -> None:
    """What remains counts: at the desk ten dollars became exactly five, or a cent less."""
    await path.take(
        debit("exactly", "5.00"),
        debit("a cent less", "4.99"),
        debit("paid to it", "10.00"),
        debit("paid below it", "10.00"),
        credit("credit exactly", "-2.00"),
        credit("credit a cent less", "-1.99"),
        change(change_id="1", fine_id="paid to it", amount="5.00"),
        change(change_id="2", fine_id="paid below it", amount="5.01"),
    )
    more = 'minimum_amount = "5.00"\ncredits = { included = true, minimum_amount = "2.00" }'
    assert await exported(path, profiles_with(more=more)) == [
        "credit exactly",
        "exactly",
        "paid to it",
    ]


async def test_a_credit_has_an_age_of_its_own(path: WritePath) -> None:
    ages = {"young": "2026-09-03T22:00:00Z", "old": "2026-09-03T21:59:59Z"}  # midnight in Vienna
    await path.take(
        *(credit(name, "-1.00", created_at=at) for name, at in ages.items()),
        debit("fine", "1.00", created_at=ages["young"]),
    )
    await opened(path, "2026-09-04T22:00:00Z")
    profiles = profiles_with(more="credits = { included = true, minimum_age_days = 2 }")
    assert await exported(path, profiles) == ["fine", "old"]


PER_PATRON = 'minimum_amount_scope = "patron"\ncredits = { included = true }\n'


@pytest.mark.parametrize(
    ("amounts", "passes"),
    [
        pytest.param(["6.00", "4.00"], True, id="exactly"),
        pytest.param(["6.00", "3.99"], False, id="a_cent_less"),
        pytest.param(["12.00", "-2.00"], True, id="exactly_with_a_credit"),
        pytest.param(["12.00", "-2.01"], False, id="a_cent_less_with_a_credit"),
        pytest.param(["-10.00"], True, id="a_credit_alone"),
        pytest.param(["1.00", "-10.99"], False, id="owed_a_cent_less"),
        pytest.param(["50.00", "-50.00"], False, id="level"),
    ],
)
@pytest.mark.parametrize("fines_max", [50, 1], ids=["whole", "split"])
async def test_a_minimum_per_patron_is_the_absolute_sum_of_his_fines_however_they_are_cut(
    path: WritePath, amounts: list[str], passes: bool, fines_max: int
) -> None:
    names = [f"F-{n}" for n in range(len(amounts))]
    await path.take(
        *(
            (credit if amount.startswith("-") else debit)(name, amount)
            for name, amount in zip(names, amounts, strict=True)
        )
    )
    profiles = profiles_with(fines_max, PER_PATRON + 'minimum_amount = "10.00"')
    assert await exported(path, profiles) == (names if passes else [])


async def test_the_rest_of_a_split_patron_counts_with_what_the_run_took_of_him(
    path: WritePath,
) -> None:
    """Two batches are sealed when a fine is paid: with the two the rest is exactly the minimum."""
    await path.take(*(debit(f"F-{n}", "2.50") for n in range(5)))
    profiles, stop = profiles_with(2, PER_PATRON + 'minimum_amount = "10.00"'), asyncio.Event()
    job = path.exports(profiles)
    await job.run_profile(only(profiles), lambda _: stop.set(), stop)
    await path.take(change(fine_id="F-3", kind="cancelled", amount=ABSENT, currency=ABSENT))
    assert await exported(path, profiles) == ["F-0", "F-1", "F-2", "F-4"]


async def test_the_rest_of_a_split_patron_stays_when_all_of_him_falls_below(
    path: WritePath,
) -> None:
    await path.take(*(debit(f"F-{n}", "2.50") for n in range(5)))
    profiles, stop = profiles_with(2, PER_PATRON + 'minimum_amount = "10.00"'), asyncio.Event()
    job = path.exports(profiles)
    await job.run_profile(only(profiles), lambda _: stop.set(), stop)
    await path.take(
        change(fine_id="F-2", kind="paid", amount="2.50"),
        change(fine_id="F-3", change_id="C-2", kind="paid", amount="0.01"),
    )
    assert await exported(path, profiles) == ["F-0", "F-1"]
    assert await path.value("SELECT count(*) FROM fine WHERE status = 'Active'") == 2


def named(*identifiers: tuple[str, str]) -> list[dict[str, str]]:
    return [{"type": kind, "value": text} for kind, text in identifiers]


async def test_an_identifier_is_the_only_one_of_its_type_and_keeps_its_zeros(
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
    assert await exported(path, profiles) == ["beside an empty one", "beside others", "zeros"]
    (manifest,) = await check_sealed(path)
    assert held_back(manifest) == {"no_identifier": 6}
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
    (profile,) = (replace(one, match="userName") for one in profiles_with().profiles)
    assert await exported(path, Profiles((), (profile,))) == ["one"]
    assert held_back((await check_sealed(path))[0]) == {"no_identifier": 2}


async def test_what_is_not_exportable_or_of_an_unknown_type_waits_and_is_counted(
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
    assert held_back(manifest) == {"not_exportable": 1, "unknown_type": 2}


OVERLAP = """
[[institution]]
id = "6050"
zone = "Europe/Vienna"
"""
ONE_OF_TWO = """
[[profile]]
code = "{code}"
name = "{code}"
institution = "6050"
mode = "export_import"
currency = "USD"
fine_types = ["OVERDUEFINE", "{own}"]
match = "02"
fines_max = 3
"""


async def test_two_profiles_that_overlap_are_told_and_each_fine_goes_out_once(
    path: WritePath, database_url: str
) -> None:
    """Both run at once over the same accounts; the rest of each goes out with its own profile."""
    profiles = profiles_of(
        OVERLAP + "".join(ONE_OF_TWO.format(code=code, own=f"OF_{code}") for code in "AB")
    )
    (told,) = overlaps(profiles)
    assert (told.first, told.second, told.types) == ("A", "B", frozenset({"OVERDUEFINE"}))
    for code in "AB":
        own = [fine(fine_id=f"{code}-{n}", patron=patron(n), type=f"OF_{code}") for n in range(20)]
        await path.take(*own)
    await path.take(*fines(40, of_each=2))
    async with write_path(database_url, partition=1) as other:
        await asyncio.gather(
            path.exports(profiles).run_profile(profile_of(profiles, "A")),
            other.exports(profiles).run_profile(profile_of(profiles, "B")),
        )
    manifests = [sent.data for sent in await outbox_of(path.pool, "export-manifest.v1")]
    lines = [(str(one["profile"]), line) for one in manifests for line in lines_of_manifest(one)]
    names = [line["fine_id"] for _, line in lines]
    assert len(names) == len(set(names)) == 80
    ids = [int(line["bursar_transaction_id"]) for _, line in lines]
    assert sorted(ids) == list(range(min(ids), min(ids) + 80)), "no number twice, none left out"
    numbers = sorted(int(str(one["export_number"])) for one in manifests)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert all(line["fine_id"].startswith((code, "F")) for code, line in lines)


async def test_a_fine_behind_the_mark_goes_out_with_the_next_run(path: WritePath) -> None:
    """One ahead of the mark, committed after the cutoff, goes along; nothing is lost between."""
    await path.take(*fines(15))
    profiles, stop = profiles_with(10), asyncio.Event()
    job = path.exports(profiles)
    await job.run_profile(only(profiles), lambda _: stop.set(), stop)
    await path.take(
        fine(fine_id="behind", patron=patron("P-00000a")),
        fine(fine_id="F-00009a", patron=patron(9)),
        fine(fine_id="F-00008z", patron=patron(9)),
        fine(fine_id="ahead", patron=patron("P-x")),
    )
    await run(path, profiles)
    await run(path, profiles)
    ids = fine_ids(await check_sealed(path))
    assert ids[1:] == [
        ["F-00009a", *(f"F-{n:05}" for n in range(10, 15)), "ahead"],
        ["behind", "F-00008z"],
    ]


async def test_what_changes_between_claim_and_lock_is_looked_at_again(
    path: WritePath, database_url: str
) -> None:
    """Disputed meanwhile: neither exported nor left out of the count; paid: what remains goes."""
    await path.take(*fines(3, of_each=3, amount="10.00"))
    account = "SELECT FROM account FOR UPDATE"
    rival = await asyncpg.connect(database_url)
    async with write_path(database_url, partition=1) as desk:
        try:
            holding = rival.transaction()
            await holding.start()
            await rival.execute(account)
            changes = asyncio.create_task(
                desk.take(
                    change(fine_id="F-00000", kind="disputed", amount=ABSENT, currency=ABSENT),
                    change(fine_id="F-00001", change_id="C-2", kind="paid", amount="4.00"),
                )
            )
            await waiters(path, 1)
            running = asyncio.create_task(run(path, profiles_with()))
            await waiters(path, 2)
            await holding.rollback()
            await asyncio.gather(changes, running)
        finally:
            await rival.close()
    (manifest,) = await check_sealed(path)
    assert [(line["fine_id"], line["amount"]) for line in lines_of_manifest(manifest)] == [
        ("F-00001", "6.00"),
        ("F-00002", "10.00"),
    ]
    assert held_back(manifest) == {"in_dispute": 1}


async def test_a_patron_who_changes_between_claim_and_print_stops_no_run(
    path: WritePath, database_url: str
) -> None:
    """A fine in another currency brings a newer snapshot under another account's lock."""
    await path.take(*fines(2))
    rival = await asyncpg.connect(database_url)
    async with write_path(database_url, partition=1) as library:
        try:
            holding = rival.transaction()
            await holding.start()
            await rival.execute("SELECT FROM account FOR UPDATE")
            running = asyncio.create_task(run(path, profiles_with()))
            await waiters(path, 1)
            gone = patron(0, identifiers=[])
            newer = of_a_later_time(fine_id="EUR", patron=gone, currency="EUR")
            await library.take(newer)
            await holding.rollback()
            await running
        finally:
            await rival.close()
    (manifest,) = await check_sealed(path)
    assert fine_ids([manifest]) == [["F-00001"]]
    assert held_back(manifest) == {"no_identifier": 1}


def of_a_later_time(**overrides: object) -> Record:
    return record("fine-created.v1", fine_created(**overrides), "2026-09-02T00:00:00Z")


async def test_what_was_committed_before_a_run_is_in_it_however_much_comes_meanwhile(
    path: WritePath, database_url: str
) -> None:
    """The library goes on writing on both sides of the mark while each run is cut small."""
    profiles, committed, done = profiles_with(3), list[str](), asyncio.Event()

    async def write() -> None:
        async with write_path(database_url, partition=1) as library:
            for n in range(60):
                names = [f"F-{n}-{side}" for side in "az"]
                await library.take(
                    *(fine(fine_id=one, patron=patron(f"{one[-1]}{n % 7}")) for one in names)
                )
                committed.extend(names)
        done.set()

    writing = asyncio.create_task(write())
    while not done.is_set():
        before = list(committed)
        await run(path, profiles)
        left = "SELECT count(*) FROM fine WHERE status = 'Active' AND fine_id = any($1::text [])"
        assert await path.value(left, before) == 0
    await writing
    assert sorted(await exported(path, profiles)) == sorted(committed)


async def test_a_cutoff_is_whole_milliseconds_and_in_the_files_name(path: WritePath) -> None:
    await path.take(*fines(1))
    (manifest,) = await run(path, profiles_with())
    assert manifest.cutoff.microsecond % 1_000 == 0
    milliseconds = int(manifest.cutoff.timestamp()) * 1_000 + manifest.cutoff.microsecond // 1_000
    assert manifest.file_name == f"bursar-{manifest.export_number}-{milliseconds}.xml"


@pytest.mark.parametrize("empty_run", ["nothing", "empty_batch"])
async def test_a_run_that_only_holds_back_is_an_empty_one(path: WritePath, empty_run: str) -> None:
    await path.take(fine(exportable=False))
    await run(path, profiles_with(more=f'empty_run = "{empty_run}"'))
    found = [(one["count"], one["last"], held_back(one)) for one in await check_sealed(path)]
    assert found == ([] if empty_run == "nothing" else [(0, True, {"not_exportable": 1})])
