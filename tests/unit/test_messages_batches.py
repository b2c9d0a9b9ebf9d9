"""Batches and manifests as they are published, header by header (contracts.md, 6)."""

from dataclasses import fields, replace

from service.core.terms import Terms
from service.core.words import (
    ImportCredits,
    Kind,
    LibraryPayments,
    LostRule,
    Mode,
    Overpayment,
    ProfileCode,
    RefusedRule,
    Status,
)
from service.export.batch import Sum, Totals
from service.export.manifest import Manifest, ManifestLine
from service.export.publish import encode_batch, encode_manifest
from service.export.selection import Exclusion
from tests.support.outgoing import OCCURRED, RECORDED, SOURCE, headers_of, sound

# --- export-batch and export-manifest ------------------------------------------------------------

MANIFEST = Manifest(
    institution_id="6050",
    profile="bursar",
    terms=Terms(ProfileCode("bursar"), Mode.EXPORT_IMPORT),
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


USUAL_TERMS = {
    "mode": "export_import",
    "lost": "close",
    "lost_types": ["LOSTITEMFINE", "LOSTITEMREPLACEMENTFEE"],
    "close_paid_lost_loan": False,
    "overpayment": "credit",
    "overpayment_max": None,
    "refused": "hold",
    "library_payments": "reject",
    "import_credits": "confirm",
    "labels": [],
}


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
        "terms": USUAL_TERMS,
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
    assert (named["ce_id"], named["ce_subject"]) == ("6050/bursar/7/manifest", "6050/bursar/7")
    assert named["ce_type"] == "org.bursar-bridge.export-manifest.v1"
    assert named["content-type"] == "application/json"


def test_the_first_manifest_has_no_predecessor_and_says_so() -> None:
    first = replace(MANIFEST, batch_number=1, previous_sha256=None, last=False, held_back=())
    event = sound("export-manifest", encode_manifest(first, SOURCE))
    assert event["previous_sha256"] is None


OTHER_TERMS = Terms(
    ProfileCode("bursar"),
    Mode.EXPORT_ONLY,
    lost=LostRule.TRANSFER,
    lost_types=frozenset({"LOST", "GONE"}),
    close_paid_lost_loan=True,
    overpayment=Overpayment.HOLD,
    refused=RefusedRule.RETRY,
    labels=((Kind.PAYMENT, "Payment Imported"), (Kind.EXPORT, "Exported and Paid")),
    overpayment_max=50_00,
    library_payments=LibraryPayments.CREDIT,
    import_credits=ImportCredits.EXPORT,
)


def terms_of(terms: Terms) -> dict[str, object]:
    event = sound("export-manifest", encode_manifest(replace(MANIFEST, terms=terms), SOURCE))
    members: dict[str, object] = event["terms"]
    return members


def test_a_manifest_has_the_terms_that_the_fines_keep() -> None:
    assert terms_of(OTHER_TERMS) == {
        "mode": "export_only",
        "lost": "transfer",
        "lost_types": ["GONE", "LOST"],
        "close_paid_lost_loan": True,
        "overpayment": "hold",
        "overpayment_max": "50.00",
        "refused": "retry",
        "library_payments": "credit",
        "import_credits": "export",
        "labels": [
            {"kind": "export", "text": "Exported and Paid"},
            {"kind": "payment", "text": "Payment Imported"},
        ],
    }


def test_a_manifest_has_every_field_of_the_terms() -> None:
    """Fines that are exported again from a manifest would lose what is missing in it."""
    names = {field.name for field in fields(Terms)} - {"profile"}
    usual, other = terms_of(MANIFEST.terms), terms_of(OTHER_TERMS)
    assert usual.keys() == names
    assert {name for name in names if usual[name] == other[name]} == set()


def test_every_kind_of_transaction_can_have_a_label() -> None:
    labels = tuple((kind, f"label of {kind}") for kind in Kind)
    members = terms_of(replace(MANIFEST.terms, labels=labels))
    assert members["labels"] == [
        {"kind": kind.value, "text": text} for kind, text in sorted(labels)
    ]


def test_the_largest_excess_has_the_decimals_of_the_currency() -> None:
    terms = replace(MANIFEST.terms, overpayment_max=5_000)
    manifest = replace(MANIFEST, currency="KWD", terms=terms, lines=())
    event = sound("export-manifest", encode_manifest(manifest, SOURCE))
    assert event["terms"]["overpayment_max"] == "5.000"
