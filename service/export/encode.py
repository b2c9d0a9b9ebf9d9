"""A sealed batch and its manifest, as records (contracts.md, 6)."""

from ..messages.message import (
    JSON,
    XML,
    Format,
    Members,
    Message,
    format_of,
    headers_of,
    json_bytes,
)
from .batch import Sum
from .manifest import Manifest


def encode_batch(manifest: Manifest, document: bytes, ce_source: str) -> Message:
    """The XML as it was sealed; the totals a loader checks first are in the headers."""
    key, ce_id = _ids(manifest)
    headers = (
        *headers_of("export-batch.v1", ce_id, ce_source, manifest.sealed_at, ce_id, key),
        ("content-type", XML),
        ("bursar-fine-count", b"%d" % manifest.count),
        ("bursar-total", format_of(manifest.currency)(manifest.total).encode()),
        ("bursar-sha256", manifest.sha256.encode()),
        ("bursar-file-name", manifest.file_name.encode()),
    )
    return Message(key, document, headers)


def encode_manifest(manifest: Manifest, ce_source: str) -> Message:
    """Its subject is the batch."""
    key, batch = _ids(manifest)
    ce_id = batch + b"/manifest"
    headers = (
        *headers_of("export-manifest.v1", ce_id, ce_source, manifest.sealed_at, batch, key),
        ("content-type", JSON),
    )
    return Message(key, json_bytes(manifest_members(manifest)), headers)


def manifest_members(manifest: Manifest) -> Members:
    """The manifest as JSON members, times as datetimes."""
    amount = format_of(manifest.currency)
    return {
        "institution_id": manifest.institution_id,
        "profile": manifest.profile,
        "mode": manifest.mode.value,
        "batch_number": manifest.batch_number,
        "export_number": str(manifest.export_number),
        "run_id": manifest.run_id,
        "part": manifest.part,
        "last": manifest.last,
        "cutoff": manifest.cutoff,
        "sealed_at": manifest.sealed_at,
        "currency": manifest.currency,
        "count": manifest.count,
        "total": amount(manifest.total),
        "debits": _sum(manifest.debits, amount),
        "credits": _sum(manifest.credits, amount),
        "by_type": _sums(manifest.by_type, amount),
        "by_owner": _sums(manifest.by_owner, amount),
        "patrons": manifest.patrons,
        "size_bytes": manifest.size_bytes,
        "sha256": manifest.sha256,
        "previous_sha256": manifest.previous_sha256,
        "file_name": manifest.file_name,
        "held_back": [
            {"reason": reason.value, "count": count} for reason, count in manifest.held_back
        ],
        "lines": [
            {
                "bursar_transaction_id": line.bursar_transaction_id,
                "fine_id": line.fine_id,
                "amount": amount(line.amount),
                "status": line.status.value,
            }
            for line in manifest.lines
        ],
    }


def _ids(manifest: Manifest) -> tuple[bytes, bytes]:
    """The key, and the batch's ce_id."""
    key = f"{manifest.institution_id}/{manifest.profile}".encode()
    return key, b"%b/%d" % (key, manifest.batch_number)


def _sum(sums: Sum, amount: Format) -> Members:
    return {"count": sums.count, "total": amount(sums.total)}


def _sums(by_code: tuple[tuple[str, Sum], ...], amount: Format) -> list[Members]:
    return [{"code": code, **_sum(sums, amount)} for code, sums in by_code]
