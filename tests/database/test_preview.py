"""A preview is the next run; a batch sent again is the same; a file is checked by its manifest."""

from dataclasses import replace

import orjson
import pytest

from service.core.ledger import BatchKey
from service.database.ledger_read import LedgerReader
from service.export.manifest import Manifest
from service.export.preview import preview
from service.export.profiles.profile import Profile, Profiles
from service.export.verify import chain_breaks, verify
from service.messages.decode import parse
from tests.support.exports import opened
from tests.support.installation import institution, profile
from tests.support.write_path import WritePath, fine, outbox_of, profiles_of, tables_of

PROFILE = institution() + profile(
    "SIS",
    fine_types=["OVERDUEFINE", "CREDIT"],
    fines_max=3,
    minimum_amount="2.00",
    minimum_amount_scope="patron",
    credits={"included": True},
)


@pytest.fixture
def profiles() -> Profiles:
    return profiles_of(PROFILE)


@pytest.fixture
async def path(path: WritePath) -> WritePath:
    for patron in range(3):
        await path.take(
            *(
                fine(
                    fine_id=f"F-{patron}-{n}",
                    amount="0.50" if n else "1.00",
                    patron={
                        "patron_id": f"P-{patron}",
                        "name": "Doe, Jane",
                        "user_group": "STUDENT",
                        "identifiers": [{"type": "02", "value": f"A{patron}"}],
                    },
                )
                for n in range(5)
            ),
            fine(
                fine_id=f"F-{patron}-9",
                amount="-0.25",
                type="CREDIT",
                credit_of=f"F-{patron}-0",
                patron={
                    "patron_id": f"P-{patron}",
                    "name": "Doe, Jane",
                    "user_group": "STUDENT",
                    "identifiers": [{"type": "02", "value": f"A{patron}"}],
                },
            ),
        )
    return path


def only(profiles: Profiles) -> Profile:
    (result,) = profiles.profiles
    return result


async def previewed(path: WritePath, profile: Profile) -> list[bytes]:
    return [built.document async for built in preview(path.pool, LedgerReader(parse), profile)]


async def test_a_preview_of_an_open_run_is_byte_for_byte_what_the_run_seals(
    path: WritePath, profiles: Profiles
) -> None:
    # An open run fixes the cutoff: the rest of it is previewed, then sealed.
    profile = only(profiles)
    await opened(path, "2026-10-01T00:00:00Z", "SIS")
    result = [built async for built in preview(path.pool, LedgerReader(parse), profile)]
    expected = [built.document for built in result]

    sealed: list[Manifest] = []
    await path.exports(profiles).run_profile(profile, sealed.append)

    at = sealed[0].sealed_at
    assert [replace(built.manifest, sealed_at=at) for built in result] == [
        replace(manifest, sealed_at=at) for manifest in sealed
    ]
    rows = await path.rows("SELECT document FROM export_batch ORDER BY batch_number")
    assert [row["document"] for row in rows] == expected
    assert len(expected) == 6


async def test_a_preview_writes_nothing(path: WritePath, profiles: Profiles) -> None:
    before = await tables_of(path.pool)

    assert await previewed(path, only(profiles))

    assert await tables_of(path.pool) == before


async def test_a_batch_sent_again_is_the_same_record(path: WritePath, profiles: Profiles) -> None:
    job = path.exports(profiles)
    await job.run_profile(only(profiles))
    first = {c: await outbox_of(path.pool, c) for c in ("export-batch.v1", "export-manifest.v1")}

    assert await job.resend(BatchKey("6050", "SIS", 2))
    assert not await job.resend(BatchKey("6050", "SIS", 99))

    for contract, sent in first.items():
        again = await outbox_of(path.pool, contract)
        assert again[len(sent) :] == [sent[1]]


async def test_a_sealed_file_is_sound_and_a_changed_one_is_told_by_its_line(
    path: WritePath, profiles: Profiles
) -> None:
    await path.exports(profiles).run_profile(only(profiles))
    rows = await path.rows("SELECT document, manifest FROM export_batch ORDER BY batch_number")
    documents = [bytes(row["document"]) for row in rows if isinstance(row["document"], bytes)]
    manifests = [
        orjson.loads(row["manifest"]) for row in rows if isinstance(row["manifest"], bytes)
    ]

    assert [verify(d, m) for d, m in zip(documents, manifests, strict=True)] == [[]] * 6
    assert chain_breaks(manifests) == []
    assert chain_breaks([*manifests[:2], *manifests[3:]])[0].field == "batch_number"

    changed = documents[0].replace(b"<xb:sum>0.5</xb:sum>", b"<xb:sum>0.6</xb:sum>", 1)
    result = {(item.field, item.element_number) for item in verify(changed, manifests[0])}
    assert {("sha256", None), ("total", None), ("sum", 2)} <= result
    assert ("previous_sha256", None) in {
        (item.field, item.element_number) for item in verify(documents[1], manifests[1], "0" * 64)
    }


async def test_a_manifest_that_its_own_batch_contradicts_is_told(
    path: WritePath, profiles: Profiles
) -> None:
    await path.exports(profiles).run_profile(only(profiles))
    (row, *_) = await path.rows("SELECT document, manifest FROM export_batch ORDER BY batch_number")
    assert isinstance(row["document"], bytes)
    assert isinstance(row["manifest"], bytes)
    manifest = orjson.loads(row["manifest"])
    others = {
        "export_number": "9" * 15,
        "lines": manifest["lines"] * 2,
        "previous_sha256": "0" * 64,  # before batch 1 there is none
    }
    for field, value in others.items():
        result = verify(row["document"], {**manifest, field: value})
        assert [item.field for item in result] == [field]
