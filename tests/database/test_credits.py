"""Credits go to the bursar the way that their fines go: runs, previews, lists, older releases."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import orjson
import pytest

from service.database.ledger_read import LedgerReader
from service.export.preview import preview
from service.export.profiles.profile import Profiles
from service.export.selection import Exclusion
from service.export.store import LATER_REASONS
from service.messages.decode import parse
from service.operations import held
from service.operations.held import HeldFilter
from tests.support.exports import (
    check_sealed,
    fine_ids,
    fines,
    held_back,
    lines_of_manifest,
    only,
    opened,
    patron,
    profiles_with,
    run,
)
from tests.support.inputs import ABSENT
from tests.support.installation import institution, profile
from tests.support.write_path import (
    Record,
    Row,
    WritePath,
    change,
    fine,
    payment,
    profile_of,
    profiles_of,
    response,
)

LOST = "LOSTITEMREPLACEMENTFEE"
CREDITS = {"included": True}


def credit(fine_id: str, credit_of: str, amount: str = "-20.00", **overrides: object) -> Record:
    return fine(fine_id=fine_id, type="CREDIT", amount=amount, credit_of=credit_of, **overrides)


async def ways(path: WritePath) -> dict[str, tuple[str, str]]:
    """The kind of each fine's latest export, and its status now."""
    rows = await path.rows(
        "SELECT DISTINCT ON (fine_id) fine_id, kind, status"
        " FROM ledger_transaction INNER JOIN fine USING (institution_id, fine_id)"
        " WHERE kind LIKE 'export%' AND kind <> 'export_rejected'"
        " ORDER BY fine_id, sequence DESC"
    )
    return {str(row["fine_id"]): (str(row["kind"]), str(row["status"])) for row in rows}


async def balance(path: WritePath) -> Row:
    (row,) = await path.rows("SELECT active, transferred FROM account")
    return row


FOLLOWED = ("export", "Closed")
TRANSFERRED = ("export_and_paid", "Transferred")


async def test_the_credit_of_a_lost_fine_closes_with_it_and_takes_nothing_off_other_fines(
    path: WritePath,
) -> None:
    await path.take(fine(fine_id="A"), fine(fine_id="L", type=LOST), credit("C", "L", "-95.50"))
    profiles = profiles_with(credits=CREDITS)
    await run(path, profiles)
    assert await ways(path) == {"A": TRANSFERRED, "C": FOLLOWED, "L": FOLLOWED}
    assert await balance(path) == {"active": 0, "transferred": 9550}
    (manifest,) = await check_sealed(path)
    status = {line["fine_id"]: line["status"] for line in lines_of_manifest(manifest)}
    assert status == {"A": "Transferred", "C": "Closed", "L": "Closed"}
    await path.take(payment(fine_id="C", amount="95.50"))
    assert await balance(path) == {"active": 0, "transferred": 9550}
    assert await path.value("SELECT state FROM payment") == "noted"


@pytest.mark.parametrize("kind", [LOST, "OVERDUEFINE"])
async def test_a_credit_that_comes_after_the_export_goes_the_way_of_its_fine(
    path: WritePath, kind: str
) -> None:
    profiles = profiles_with(credits=CREDITS)
    await path.take(fine(type=kind))
    await run(path, profiles)
    await path.take(credit("C", "F-1"))
    await run(path, profiles)
    way = FOLLOWED if kind == LOST else TRANSFERRED
    assert (await ways(path))["C"] == (await ways(path))["F-1"] == way
    await check_sealed(path)


async def test_a_credit_of_another_patrons_fine_is_a_credit_like_any_other(path: WritePath) -> None:
    profiles = profiles_with(credits=CREDITS)
    await path.take(fine(type=LOST), credit("C", "F-1", patron=patron("P-2")))
    await run(path, profiles)
    assert (await ways(path))["C"] == TRANSFERRED


async def test_a_fine_whose_credit_followed_it_closes_again(path: WritePath) -> None:
    profiles = profiles_with(credits=CREDITS, refused_lines="retry")
    transfers = profiles_with(credits=CREDITS, refused_lines="retry", lost_fines="transfer")
    await path.take(fine(type=LOST), credit("C", "F-1"))
    await run(path, profiles)
    (manifest,) = await check_sealed(path)
    ids = {line["fine_id"]: line["bursar_transaction_id"] for line in lines_of_manifest(manifest)}

    def sends_back(fine_id: str, number: int) -> Record:
        named = [{"bursar_transaction_id": ids[fine_id], "reason": "no such student"}]
        answer = f"R-{fine_id}-{number}"
        return response(
            batch_number=number, response_id=answer, outcome="partial", refused_lines=named
        )

    await path.take(sends_back("F-1", 1))
    await run(path, transfers)
    assert await ways(path) == {"C": FOLLOWED, "F-1": FOLLOWED}
    assert await balance(path) == {"active": 0, "transferred": 0}

    await path.take(sends_back("C", 1))
    manifest = (await check_sealed_lines(path))[-1]
    ids |= {line["fine_id"]: line["bursar_transaction_id"] for line in lines_of_manifest(manifest)}
    await path.take(sends_back("F-1", 2))
    await run(path, transfers)
    assert await ways(path) == {"C": TRANSFERRED, "F-1": TRANSFERRED}
    assert await balance(path) == {"active": 0, "transferred": 9550 - 2000}


async def check_sealed_lines(path: WritePath) -> list[Row]:
    """The manifests; a fine stands in several of them, once its line was refused."""
    rows = await path.rows("SELECT manifest FROM export_batch ORDER BY batch_number")
    return [orjson.loads(row["manifest"]) for row in rows if isinstance(row["manifest"], bytes)]


async def judged(path: WritePath, profiles: Profiles) -> dict[tuple[str, str | None], str]:
    async with path.pool.acquire() as connection:
        selected = HeldFilter(waiting=True)
        result = await held.find(connection, LedgerReader(parse), profiles, selected)
    assert all(item.reason is not None for item in result)
    return {(item.fine.facts.fine_id, item.profile): item.in_words for item in result}


async def test_a_credit_waits_as_long_as_its_fine_is_the_librarys(path: WritePath) -> None:
    left_out = {"amount": ABSENT, "currency": ABSENT}
    profiles = profiles_with(credits=CREDITS)
    await path.take(
        fine(),
        credit("C", "F-1"),
        change(kind="disputed", **left_out),
        fine(fine_id="A", patron=patron(1)),
    )
    await run(path, profiles)
    (manifest,) = await check_sealed(path)
    assert held_back(manifest) == {"in_dispute": 1, "waits_for_fine": 1}
    assert (await judged(path, profiles))["C", "bursar"] == (
        "a credit of fine F-1, which is In dispute: it waits until that fine is exported"
    )
    await path.take(change(change_id="C-2", kind="restored", **left_out))
    await run(path, profiles)
    assert fine_ids((await check_sealed(path))[1:]) == [["C", "F-1"]]


async def test_a_credit_of_a_transferred_fine_waits_for_a_profile_that_imports(
    path: WritePath,
) -> None:
    exporting = profile("only", mode="export_only", fine_types=["PRINT"], credits=CREDITS)
    profiles = profiles_of(institution() + profile("both") + exporting)
    await path.take(fine(), credit("C", "F-1"))
    for code in ("both", "only"):
        await path.exports(profiles).run_profile(profile_of(profiles, code))
    assert await ways(path) == {"F-1": TRANSFERRED}
    assert await judged(path, profiles) == {
        ("C", "only"): "a credit of fine F-1, which is Transferred: it waits for a profile that"
        " imports payments"
    }
    with_import = profiles_of(institution() + profile("both", credits=CREDITS) + exporting)
    assert await judged(path, with_import) == await judged(path, profiles)
    await path.exports(with_import).run_profile(profile_of(with_import, "both"))
    assert await ways(path) == {"F-1": TRANSFERRED, "C": TRANSFERRED}


@pytest.mark.parametrize(
    ("names", "sealed", "later"),
    [
        pytest.param(("A", "B"), [["B"]], [["A"]], id="the_credit_comes_first"),
        pytest.param(("B", "A"), [["A"], ["B"]], [], id="the_fine_comes_first"),
    ],
)
async def test_a_credit_that_a_limit_parts_from_its_fine_waits(
    path: WritePath, names: tuple[str, str], sealed: list[list[str]], later: list[list[str]]
) -> None:
    """Until the next batch if its fine is in this one, else until the next run."""
    name_of_credit, name_of_fine = names
    await path.take(fine(fine_id=name_of_fine), credit(name_of_credit, name_of_fine))
    profiles = profiles_with(1, credits=CREDITS)
    assert await judged(path, profiles) == {}
    await run(path, profiles)
    manifests = await check_sealed(path)
    assert fine_ids(manifests) == sealed
    assert held_back(manifests[-1]) == ({"waits_for_fine": 1} if later else {})
    await run(path, profiles)
    assert fine_ids((await check_sealed(path))[len(sealed) :]) == later


@pytest.mark.parametrize("scope", ["fine", "patron"])
@pytest.mark.parametrize("kind", [LOST, "OVERDUEFINE"])
@pytest.mark.parametrize("mode", ["export_only", "export_import"])
@pytest.mark.parametrize("fines_max", [1, 2, 3, 4])
async def test_a_preview_has_the_bytes_and_manifests_of_the_run(
    path: WritePath, scope: str, kind: str, mode: str, fines_max: int
) -> None:
    """Fines and their credits on both sides of each limit, in one patron and in the next."""
    for number in (1, 2):
        await path.take(
            *(
                record
                for pair in (("A", "B"), ("D", "C"), ("E", "F"))
                for record in (
                    fine(fine_id=f"{number}{pair[0]}", type=kind, patron=patron(number)),
                    credit(f"{number}{pair[1]}", f"{number}{pair[0]}", patron=patron(number)),
                )
            )
        )
    profiles = profiles_with(
        fines_max, mode=mode, minimum_amount="1.00", minimum_amount_scope=scope, credits=CREDITS
    )
    await opened(path, "2026-10-01T00:00:00Z")
    result = [built async for built in preview(path.pool, LedgerReader(parse), only(profiles))]
    sealed = await run(path, profiles)
    at = sealed[0].sealed_at
    assert [replace(built.manifest, sealed_at=at) for built in result] == [
        replace(manifest, sealed_at=at) for manifest in sealed
    ]
    rows = await path.rows("SELECT document FROM export_batch ORDER BY batch_number")
    assert [row["document"] for row in rows] == [built.document for built in result]
    assert len(set((await ways(path)).values())) == 1, "each credit went as its fine did"
    await run(path, profiles)
    assert await path.value("SELECT count(*) FROM fine WHERE status = 'Active'") == 0
    assert len(set((await ways(path)).values())) == 1


RUN = "INSERT INTO export_run (institution_id, profile, run_id, cutoff, held_back, state)"


async def test_a_run_that_an_older_release_began_is_continued(path: WritePath) -> None:
    """It counted fines of a type that no profile names; manifests do not count them any more."""
    await path.take(*fines(1))
    await path.pool.execute(
        f"{RUN} VALUES ('6050', 'bursar', 'r', now(), $1, 'open')",
        '{"unknown_type": 3, "in_dispute": 2}',
    )
    await run(path, profiles_with())
    (manifest,) = await check_sealed(path)
    assert held_back(manifest) == {"in_dispute": 2}


async def test_an_older_release_can_continue_a_run_that_held_credits_back(path: WritePath) -> None:
    """It fails on reasons that it does not know, so they stand beside its run until the end."""
    left_out = {"amount": ABSENT, "currency": ABSENT}
    await path.take(
        fine(fine_id="A", patron=patron(0)),
        fine(fine_id="B", patron=patron(0)),
        credit("C", "B", patron=patron(0)),
        change(fine_id="B", kind="disputed", **left_out),
        *(fine(fine_id=f"D-{n}", patron=patron(n)) for n in range(1, 4)),
    )
    profiles = profiles_with(1, credits=CREDITS)
    stop = asyncio.Event()
    await path.exports(profiles).run_profile(only(profiles), lambda _: stop.set(), stop)
    row = await path.value("SELECT held_back FROM export_run WHERE state = 'open'")
    assert orjson.loads(str(row)) == {"in_dispute": 1}
    await run(path, profiles)
    manifest = (await check_sealed(path))[-1]
    assert held_back(manifest) == {"in_dispute": 1, "waits_for_fine": 1}
    row = await path.value("SELECT held_back FROM export_run")
    assert orjson.loads(str(row)) == {"in_dispute": 1, "waits_for_fine": 1}


def test_the_reasons_of_open_runs_are_those_that_the_older_release_knows() -> None:
    known = "in_dispute no_identifier no_patron_name not_exportable refused bad_text".split()
    reasons = {reason for reason in Exclusion if reason.is_held_back}
    assert {reason.value for reason in reasons - LATER_REASONS} == set(known)
