"""Every open fine is due, not yet due, held back, paused or taken by no profile; nothing twice.

The ledgers are generated. The list of held fines, the previews, the manifests and the gauges have
to account for each open fine, by a second and simple reading of who takes what.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest
from prometheus_client import generate_latest

from service.database.encodings import terms_id, terms_text
from service.database.ledger_read import LedgerReader
from service.export.manifest import Manifest
from service.export.preview import preview
from service.export.profiles.profile import Profile
from service.export.selection import Exclusion
from service.messages.decode import parse
from service.operations import held
from service.operations.gauges import Gauges
from service.operations.held import HeldFilter, Judgement
from service.operations.no_profile import CountWithoutProfile
from service.runtime.telemetry import Metrics
from tests.support.generated_ledgers import World
from tests.support.inputs import ABSENT
from tests.support.write_path import Row, WritePath, change, response

FINES = 70
AWAITED = 9
# A run of which nothing was due has brought none.
TERMS = "INSERT INTO terms VALUES ('6050', $1, $2::jsonb) ON CONFLICT DO NOTHING"
# Published before a restore, with an amount that no fine has.
ADOPTED_LINE = """
INSERT INTO adopted_line
    (institution_id, bursar_transaction_id, fine_id, profile, batch_number, place, amount, currency,
     fine_status, terms_id, cutoff, export_number)
SELECT '6050', '9' || $1, $2, 'A', 99, $1::integer, 77700, 'USD',
       'Transferred', min(terms_id), now(), 99
  FROM terms
"""

HELD_BY_ITSELF = (Exclusion.IN_DISPUTE, Exclusion.NOT_EXPORTABLE, Exclusion.REFUSED)


async def fill(path: WritePath, world: World) -> None:
    """Fines that were refused, then others, some of them in dispute; for some a line waits."""
    await path.take(*(world.fine() for _ in range(FINES // 3)))
    for profile in world.profiles.profiles:
        sealed: list[Manifest] = []
        await path.exports(world.profiles).run_profile(profile, sealed.append)
        for manifest in sealed[:1]:
            await path.take(
                response(
                    profile=profile.code,
                    batch_number=manifest.batch_number,
                    response_id=profile.code,
                    outcome="refused",
                    reason="no such student",
                )
            )
    await path.take(*(world.fine() for _ in range(FINES - FINES // 3)))
    some = world.random.sample(sorted(await open_fines(path)), 9)
    unsound = [fine_id for fine_id in some if world.groups[fine_id][0] != "UNHEARD_OF"]
    left_out = {"amount": ABSENT, "currency": ABSENT}
    await path.take(
        *(
            change(change_id=fine_id, fine_id=fine_id, kind="disputed", **left_out)
            for fine_id in unsound
        )
    )
    await path.pool.execute(
        "INSERT INTO export_pause (institution_id, profile, reason, operator)"
        " VALUES ('6050', 'B', 'year end', 'ann')"
    )
    terms = world.profiles.profiles[0].terms
    await path.pool.execute(TERMS, terms_id(terms), terms_text(terms))
    for number, fine_id in enumerate(world.random.sample(sorted(await open_fines(path)), AWAITED)):
        await path.pool.execute(ADOPTED_LINE, str(number), fine_id)


async def open_fines(path: WritePath, *statuses: str) -> set[str]:
    query = "SELECT fine_id FROM fine WHERE status = any($1)"
    rows = await path.rows(query, statuses or ("Active", "In dispute"))
    return {str(row["fine_id"]) for row in rows}


async def awaited_fines(path: WritePath) -> set[str]:
    """The open fines for which a line waits that was published before a restore."""
    rows = await path.rows("SELECT fine_id FROM adopted_line WHERE state = 'waiting'")
    return {str(row["fine_id"]) for row in rows}


async def listed(path: WritePath, world: World) -> list[Judgement]:
    async with path.pool.acquire() as connection:
        return await held.find(
            connection, LedgerReader(parse), world.profiles, HeldFilter(waiting=True)
        )


@dataclass(frozen=True)
class Preview:
    """The fines that the next run exports, and how many it holds back for which reason."""

    due: set[str]
    held_back: Mapping[Exclusion, int]


async def previewed(path: WritePath, profile: Profile) -> Preview:
    built = [item async for item in preview(path.pool, LedgerReader(parse), profile)]
    fine_ids = [line.fine_id for item in built for line in item.manifest.lines]
    assert len(fine_ids) == len(set(fine_ids))
    return Preview(set(fine_ids), dict(built[-1].manifest.held_back))


def by_place(result: Sequence[Judgement]) -> dict[tuple[str, str | None], Exclusion]:
    """By fine and profile; none is there twice."""
    places = {
        (item.fine.facts.fine_id, item.profile): item.reason for item in result if item.reason
    }
    assert len(places) == len(result)
    assert all(item.in_words for item in result)
    return places


def any_takes(world: World, fine_id: str) -> bool:
    return any(world.takes(profile, fine_id) for profile in world.profiles.profiles)


def fines_with(places: Mapping[tuple[str, str | None], Exclusion], reason: Exclusion) -> set[str]:
    return {fine_id for (fine_id, _), why in places.items() if why is reason}


def check_each(world: World, fine_id: str, result: dict[str | None, Exclusion | None]) -> None:
    """`result` has the reasons of an open fine by profile; None: it is in the profile's preview."""
    takers = {p.code for p in world.profiles.profiles if world.takes(p, fine_id)}
    if None in result:  # of no profile: then it is in nothing else
        assert list(result) == [None], fine_id
        expected = HELD_BY_ITSELF if takers else (*HELD_BY_ITSELF, Exclusion.NO_PROFILE)
        assert result[None] in expected, fine_id
        return
    if Exclusion.ADOPTED_LINE in result.values():  # it comes first, for each profile
        assert result == dict.fromkeys(takers, Exclusion.ADOPTED_LINE), fine_id
        return
    held_back = {code for code, reason in result.items() if reason and reason.is_held_back}
    # A fine in dispute that is too young for one profile is told by the one that counts it.
    missing = takers - result.keys()
    assert result.keys() <= takers, fine_id
    assert takers, fine_id
    assert not missing or held_back, fine_id


def parted_credits(
    world: World,
    profile: Profile,
    output: Mapping[str, Mapping[str | None, Exclusion | None]],
    not_exported: set[str],
) -> set[str]:
    """The credits that would be due, but that the limits of the batches part from their fines.

    The list does not know of batches; the manifest counts these credits.
    """
    return {
        fine_id
        for fine_id in not_exported
        if world.groups[fine_id][0] == "CREDIT" and world.takes(profile, fine_id)
        if output[fine_id].get(profile.code, Exclusion.PAUSED) is Exclusion.PAUSED
        if not set(HELD_BY_ITSELF) & set(output[fine_id].values())
    }


async def gauges(path: WritePath, world: World) -> dict[str, int]:
    metrics = Metrics()
    await Gauges(path.pool, metrics, profiles=world.profiles).run_once()
    await path.pool.execute("UPDATE upkeep_turn SET next_at = now() WHERE task = 'no_profile'")
    await CountWithoutProfile(path.pool, metrics, world.profiles).run_once()
    lines = generate_latest(metrics.registry).decode().splitlines()
    result = dict(line.rsplit(" ", 1) for line in lines if line.startswith("bursar_held_now"))
    return {name.split('"')[1]: int(value.removesuffix(".0")) for name, value in result.items()}


@pytest.mark.parametrize(
    "seed", [1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 40))]
)
async def test_every_open_fine_is_accounted_for_and_none_twice(path: WritePath, seed: int) -> None:
    world = World(seed)
    await fill(path, world)
    result = await listed(path, world)
    places = by_place(result)
    output: dict[str, dict[str | None, Exclusion | None]] = {name: {} for name in world.groups}
    for (fine_id, code), reason in places.items():
        output[fine_id][code] = reason
    is_open = await open_fines(path)
    for profile in world.profiles.profiles:
        code, shown_by_run = profile.code, await previewed(path, profile)
        parted = parted_credits(world, profile, output, is_open - shown_by_run.due)
        waits = Counter(reason for (_, taker), reason in places.items() if taker == code)
        held_back = shown_by_run.held_back.get(Exclusion.WAITS_FOR_FINE, 0)
        assert len(parted) == held_back - waits[Exclusion.WAITS_FOR_FINE]
        for fine_id in shown_by_run.due | parted:
            if code == "B":  # paused: listed as such, and all that is
                assert output[fine_id].pop(code) is Exclusion.PAUSED
            assert code not in output[fine_id], fine_id
            output[fine_id][code] = None
    assert Exclusion.PAUSED not in {
        reason for takers in output.values() for reason in takers.values()
    }
    assert {fine_id for fine_id, takers in output.items() if takers} == is_open
    for fine_id in sorted(is_open):
        check_each(world, fine_id, output[fine_id])

    shown = await gauges(path, world)
    reasons = Counter(places.values())
    assert shown["no_profile"] == reasons[Exclusion.NO_PROFILE]
    awaited, disputed = await awaited_fines(path), await open_fines(path, "In dispute")
    taken = {fine_id for fine_id in awaited if any_takes(world, fine_id)}
    assert awaited
    assert fines_with(places, Exclusion.ADOPTED_LINE) == taken
    assert fines_with(places, Exclusion.IN_DISPUTE) == disputed - taken
    assert (shown["adopted_line"], shown["in_dispute"]) == (AWAITED, len(disputed))
    await check_runs(path, world)


async def check_runs(path: WritePath, world: World) -> None:
    """The manifests of each profile's run have what was previewed, and count what was listed."""
    for profile in world.profiles.profiles:
        before = by_place(await listed(path, world))
        expected = Counter(
            reason
            for (_, code), reason in before.items()
            if code == profile.code and reason.is_held_back
        )
        expected_run = await previewed(path, profile)
        due = set() if profile.code == "B" else expected_run.due
        sealed: list[Manifest] = []
        await path.exports(world.profiles).run_profile(profile, sealed.append)
        lines = [line.fine_id for manifest in sealed for line in manifest.lines]
        assert sorted(lines) == sorted(due)
        if profile.code != "B":
            counted = Counter(dict(sealed[-1].held_back))
            assert counted == Counter(expected_run.held_back)
            parted = counted - expected
            assert counted - parted == expected
            assert set(parted) <= {Exclusion.WAITS_FOR_FINE}


def test_the_generated_ledgers_have_every_sort_of_fine() -> None:
    """The profiles differ from seed to seed, and leave something for every reading."""
    rows: list[Row] = []
    for seed in (1, 2):
        world = World(seed)
        for _ in range(FINES):
            world.fine()
        takers = [sum(world.takes(p, f) for p in world.profiles.profiles) for f in world.groups]
        rows.append(
            {"none": takers.count(0), "one": takers.count(1), "more": sum(n > 1 for n in takers)}
        )
    assert all(rows[0][sort] and rows[1][sort] for sort in ("none", "one"))
    assert any(row["more"] for row in rows)
