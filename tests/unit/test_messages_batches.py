"""Batches and manifests as they are published, header by header (contracts.md, 6)."""

from dataclasses import replace

from service.core.words import Mode, Status
from service.export.batch import Sum, Totals
from service.export.manifest import Manifest, ManifestLine
from service.export.publish import encode_batch, encode_manifest
from service.export.selection import Exclusion
from tests.support.outgoing import OCCURRED, RECORDED, SOURCE, headers_of, sound

# --- export-batch and export-manifest ------------------------------------------------------------

MANIFEST = Manifest(
    institution_id="6050",
    profile="bursar",
    mode=Mode.EXPORT_IMPORT,
    batch_number=7,
    export_number=100_000_000_000_007,
    run_id="run-1",
    part=1,
    last=True,
    cutoff=OCCURRED.replace(microsecond=123_000),
    sealed_at=RECORDED,
    currency="USD",
    totals=Totals(
        all=Sum(2, 94_50),
        debits=Sum(1, 95_50),
        credits=Sum(1, -1_00),
        by_type=(("CREDIT", Sum(1, -1_00)), ("OVERDUEFINE", Sum(1, 95_50))),
        by_owner=(("institution", Sum(2, 94_50)),),
        patrons=1,
    ),
    size_bytes=1000,
    sha256="a" * 64,
    previous_sha256="b" * 64,
    file_name="bursar-100000000000007-1789240926123.xml",
    held_back=((Exclusion.IN_DISPUTE, 3),),
    lines=(
        ManifestLine("42", "F-1", 95_50, Status.TRANSFERRED),
        ManifestLine("43", "F-2", -1_00, Status.CLOSED),
    ),
)


def test_a_batch_is_its_bytes_with_the_control_totals_in_the_headers() -> None:
    message = encode_batch(MANIFEST, b"<xml/>", SOURCE)
    assert (message.key, message.value) == (b"6050/bursar", b"<xml/>")
    assert headers_of(message) == {
        "ce_specversion": "1.0",
        "ce_id": "6050/bursar/7",
        "ce_source": SOURCE,
        "ce_type": "org.bursar-bridge.export-batch.v1",
        "ce_time": "2026-09-12T19:22:06.512345Z",
        "ce_subject": "6050/bursar/7",
        "ce_partitionkey": "6050/bursar",
        "content-type": "application/xml",
        "bursar-fine-count": "2",
        "bursar-total": "94.50",
        "bursar-sha256": "a" * 64,
        "bursar-file-name": "bursar-100000000000007-1789240926123.xml",
    }


def test_a_manifest_is_told_whole() -> None:
    message = encode_manifest(MANIFEST, SOURCE)
    assert sound("export-manifest", message) == {
        "institution_id": "6050",
        "profile": "bursar",
        "mode": "export_import",
        "batch_number": 7,
        "export_number": "100000000000007",
        "run_id": "run-1",
        "part": 1,
        "last": True,
        "cutoff": "2026-09-12T19:22:06.123000Z",
        "sealed_at": "2026-09-12T19:22:06.512345Z",
        "currency": "USD",
        "count": 2,
        "total": "94.50",
        "debits": {"count": 1, "total": "95.50"},
        "credits": {"count": 1, "total": "-1.00"},
        "by_type": [
            {"code": "CREDIT", "count": 1, "total": "-1.00"},
            {"code": "OVERDUEFINE", "count": 1, "total": "95.50"},
        ],
        "by_owner": [{"code": "institution", "count": 2, "total": "94.50"}],
        "patrons": 1,
        "size_bytes": 1000,
        "sha256": "a" * 64,
        "previous_sha256": "b" * 64,
        "file_name": "bursar-100000000000007-1789240926123.xml",
        "held_back": [{"reason": "in_dispute", "count": 3}],
        "lines": [
            {
                "bursar_transaction_id": "42",
                "fine_id": "F-1",
                "amount": "95.50",
                "status": "Transferred",
            },
            {
                "bursar_transaction_id": "43",
                "fine_id": "F-2",
                "amount": "-1.00",
                "status": "Closed",
            },
        ],
    }
    assert message.key == b"6050/bursar"
    named = headers_of(message)
    assert named["ce_id"] == "6050/bursar/7/manifest"
    assert named["ce_subject"] == "6050/bursar/7"
    assert named["ce_type"] == "org.bursar-bridge.export-manifest.v1"
    assert named["content-type"] == "application/json"


def test_the_first_manifest_has_no_predecessor_and_says_so() -> None:
    first = replace(MANIFEST, batch_number=1, previous_sha256=None, last=False, held_back=())
    event = sound("export-manifest", encode_manifest(first, SOURCE))
    assert event["previous_sha256"] is None
