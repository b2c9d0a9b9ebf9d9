"""Export runs of a test: fines and profiles, and all that must hold of what was sealed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

from lxml import etree

from service.core.money import format_minor
from service.export.manifest import Manifest
from service.export.profiles.profile import Profile, Profiles
from tests.support.installation import institution, profile
from tests.support.waiting import until
from tests.support.write_path import (
    Record,
    Row,
    Sent,
    WritePath,
    fine,
    outbox_of,
    profile_of,
    profiles_of,
)

XSD = Path(__file__).parents[2] / "contracts" / "export" / "bursar-export.v1.xsd"
XB = "{http://com/exlibris/urm/rep/externalsysfinesfees/xmlbeans}"


def profiles_with(fines_max: int = 50, more: str = "", **options: object) -> Profiles:
    """One profile; `options` as Python values, `more` as lines of TOML after them."""
    options = {"fine_types": ["OVERDUEFINE", "LOSTITEMREPLACEMENTFEE"], **options}
    return profiles_of(institution() + profile(fines_max=fines_max, **options) + more)


def only(profiles: Profiles) -> Profile:
    return profile_of(profiles, "bursar")


def patron(number: int | str, **overrides: object) -> Row:
    return {
        "patron_id": f"P-{number:05}" if isinstance(number, int) else number,
        "name": "Doe, Jane",
        "user_group": "STUDENT",
        "identifiers": [{"type": "02", "value": f"A{number}"}],
        **overrides,
    }


def fines(count: int, of_each: int = 1, amount: str = "1.00", **overrides: object) -> list[Record]:
    """`of_each` to a patron, in the order a run takes them."""
    return [
        fine(
            fine_id=f"F-{n:05}",
            patron=patron(n // of_each),
            amount=amount,
            loan_id=f"L-{n}",
            **overrides,
        )
        for n in range(count)
    ]


async def run(path: WritePath, profiles: Profiles) -> list[Manifest]:
    manifests: list[Manifest] = []
    await path.exports(profiles).run_profile(only(profiles), manifests.append)
    return manifests


async def check_sealed(path: WritePath) -> list[Row]:
    """All batches sealed so far, document by document; their manifests as they are told."""
    documents = await outbox_of(path.pool, "export-batch.v1")
    manifests = [sent.data for sent in await outbox_of(path.pool, "export-manifest.v1")]
    assert len(documents) == len(manifests)
    schema = etree.XMLSchema(file=str(XSD))
    previous = None
    for number, (sent, manifest) in enumerate(zip(documents, manifests, strict=True), start=1):
        assert manifest["batch_number"] == number
        assert manifest["previous_sha256"] == previous
        _check_document(sent, manifest, schema)
        previous = manifest["sha256"]
    rows = await path.rows("SELECT document FROM export_batch ORDER BY batch_number")
    assert [row["document"] for row in rows] == [sent.value for sent in documents]
    lines = [line for manifest in manifests for line in lines_of_manifest(manifest)]
    for name in ("bursar_transaction_id", "fine_id"):
        expected = [line[name] for line in lines]
        assert len(expected) == len(set(expected)), name
    assert len({manifest["export_number"] for manifest in manifests}) == len(manifests)
    _check_ids_ascend(manifests)
    await _check_ledger(path, manifests)
    return manifests


def _check_ids_ascend(manifests: Sequence[Row]) -> None:
    """In each institution, with the export number and then with the place in the batch."""
    ids: dict[object, list[int]] = defaultdict(list)
    for manifest in sorted(manifests, key=lambda each: str(each["export_number"])):
        lines = (int(line["bursar_transaction_id"]) for line in lines_of_manifest(manifest))
        ids[manifest["institution_id"]] += lines
    for of_institution in ids.values():
        assert of_institution == sorted(of_institution)


async def _check_ledger(path: WritePath, manifests: Sequence[Row]) -> None:
    """The tables know the lines of the manifests, no more and no fewer."""
    result = [
        (manifest["batch_number"], line["fine_id"], line["bursar_transaction_id"], line["amount"])
        for manifest in manifests
        for line in lines_of_manifest(manifest)
    ]
    rows = await path.rows(
        "SELECT batch_number AS n, fine_id, bursar_transaction_id AS id, amount, currency"
        " FROM export_line"
    )
    lines = [
        (r["n"], r["fine_id"], r["id"], format_minor(int(str(r["amount"])), str(r["currency"])))
        for r in rows
    ]
    assert sorted(lines) == sorted(result)
    query = "SELECT fine_id, amount FROM {} WHERE {} ORDER BY fine_id, amount"
    kinds = "kind IN ('export', 'export_and_paid')"
    moved = await path.rows(query.format("ledger_transaction", kinds))
    assert moved == await path.rows(query.format("export_line", "true"))


def _check_document(sent: Sent, manifest: Row, schema: etree.XMLSchema) -> None:
    """The bytes say what the manifest and the headers say."""
    assert sent.value is not None
    digest = sha256(sent.value).hexdigest()
    assert (manifest["sha256"], manifest["size_bytes"]) == (digest, len(sent.value))
    assert sent.header("bursar-sha256") == digest
    root = etree.fromstring(sent.value)
    schema.assertValid(root)
    sums = [Decimal(str(element.text)) for element in root.iter(f"{XB}sum")]
    assert sent.header("bursar-fine-count") == str(len(sums))
    assert manifest["count"] == len(sums)
    assert Decimal(str(manifest["total"])) == sum(sums) == Decimal(sent.header("bursar-total"))
    for name, expected in (
        ("debits", [s for s in sums if s > 0]),
        ("credits", [s for s in sums if s < 0]),
    ):
        result = manifest[name]
        assert isinstance(result, dict)
        assert (result["count"], Decimal(result["total"])) == (len(expected), sum(expected)), name
    printed = [element.text for element in root.iter(f"{XB}bursarTransactionId")]
    assert printed == [line["bursar_transaction_id"] for line in lines_of_manifest(manifest)]
    assert [Decimal(line["amount"]) for line in lines_of_manifest(manifest)] == sums
    types = Counter(element.text for element in root.iter(f"{XB}fineFeeType"))
    by_type = manifest["by_type"]
    assert isinstance(by_type, list)
    assert {item["code"]: item["count"] for item in by_type} == types


def lines_of_manifest(manifest: Row) -> list[dict[str, str]]:
    lines = manifest["lines"]
    assert isinstance(lines, list)
    return lines


def fine_ids(manifests: Sequence[Row]) -> list[list[str]]:
    return [[line["fine_id"] for line in lines_of_manifest(manifest)] for manifest in manifests]


def all_fine_ids(manifests: Sequence[Row]) -> list[str]:
    """The ids of all batches, in their order."""
    return [fine_id for batch in fine_ids(manifests) for fine_id in batch]


def parts(manifests: Sequence[Row]) -> list[int]:
    return [int(str(manifest["part"])) for manifest in manifests]


def held_back(manifest: Row) -> dict[object, object]:
    """Counts by reason."""
    result = manifest["held_back"]
    assert isinstance(result, list)
    return {item["reason"]: item["count"] for item in result}


async def waiters(path: WritePath, count: int) -> None:
    """Returns when as many sessions wait for a lock."""
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    async def as_many_wait() -> bool:
        return await path.value(query) == count

    await until(as_many_wait)


async def opened(path: WritePath, cutoff: str, profile: str = "bursar") -> None:
    """An open run fixes the cutoff; the job goes on with it. All fines were there before."""
    await record_at(path, "timestamptz '2000-01-01Z'")
    await path.pool.execute(
        "INSERT INTO export_run (institution_id, profile, run_id, cutoff, state)"
        " VALUES ('6050', $2, 'r', $1::text::timestamptz, 'open')",
        cutoff,
        profile,
    )


async def record_at(path: WritePath, instant: str) -> None:
    """Lets the ledger say that all of it was recorded then: an expression of SQL."""
    for command in (
        "ALTER TABLE ledger_transaction DISABLE TRIGGER USER",
        f"UPDATE ledger_transaction SET recorded_at = {instant}",
        "ALTER TABLE ledger_transaction ENABLE TRIGGER USER",
    ):
        await path.pool.execute(command)


async def exported(path: WritePath, profiles: Profiles) -> list[str]:
    """What goes out, of everything sealed so far."""
    await run(path, profiles)
    return all_fine_ids(await check_sealed(path))
