"""Stores a sealed batch and puts the records of its XML and its manifest into the outbox.

Section 6 of contracts.md describes both records.
"""

from dataclasses import dataclass
from datetime import datetime

from ..core.ledger import BatchKey
from ..core.money import format_of
from ..database import outbox, quarantine
from ..database.session import Connection, run_in_thread, statements
from ..messages.encode import (
    JSON,
    XML,
    Members,
    Message,
    headers_of,
    json_bytes,
)
from ..runtime.problems import OperatorError
from .build import BuiltBatch
from .manifest import Manifest, members_of_terms, members_of_totals

SQL = statements("export")


class BytesMissing(OperatorError):
    """The batch was adopted without its XML, and the XML could not be printed again so far."""

    def __init__(self) -> None:
        super().__init__(
            "the batch was adopted from its manifest alone: its bytes are made again when each of "
            "its lines has its fine; see `bursar-bridge recovered batches`"
        )


class DocumentRemoved(OperatorError):
    """The XML of a batch is not in the database any more, because its retention has ended."""

    def __init__(self, key: BatchKey, days: int) -> None:
        super().__init__(
            f"batch {key.batch_number} of {key.profile}: its XML was removed from the database"
            f" after {days} days (BURSAR_BATCH_RETENTION_DAYS). The topic of batches has it as long"
            " as the topic's own retention lasts: `bursar-bridge deliver` writes the file from"
            " there. The folders of deliveries may have it, too"
        )


@dataclass(frozen=True, slots=True)
class ExportTopics:
    """The names of the topic of batches and of the topic of their manifests."""

    batch: str
    manifest: str


async def publish(
    connection: Connection, topics: ExportTopics, batch: BuiltBatch, ce_source: str
) -> None:
    """Stores a batch and puts its records into the outbox, from which the relay sends them to
    Kafka.

    The stored bytes never change again. The manifest is put in first, so that the relay also sends
    it first. The batch keeps the numbers of both outbox rows; as long as a row exists, the broker
    has not acknowledged its record.
    """
    manifest = batch.manifest
    document = encode_batch(manifest, batch.document, ce_source)
    listing = await run_in_thread(
        connection, manifest.count, lambda: encode_manifest(manifest, ce_source)
    )
    key = (manifest.institution_id, manifest.profile)
    sha256, previous = manifest.sha256, manifest.previous_sha256
    await outbox.put(connection, topics.manifest, [listing], manifest.sealed_at)
    manifest_row = await outbox.last_put(connection)
    await outbox.put(connection, topics.batch, [document], manifest.sealed_at)
    await connection.execute(
        SQL["seal_batch"],
        *key,
        manifest.batch_number,
        manifest.run_id,
        manifest.export_number,
        manifest.currency,
        manifest.count,
        manifest.total,
        manifest.file_name,
        bytes.fromhex(sha256),
        None if previous is None else bytes.fromhex(previous),
        document.value,
        outbox.pack_headers(document.headers),
        listing.value,
        outbox.pack_headers(listing.headers),
        manifest.cutoff,
        manifest.sealed_at,
        manifest_row,
    )
    await connection.execute(
        SQL["set_profile_counter"], *key, manifest.batch_number, bytes.fromhex(sha256)
    )


async def publish_again(connection: Connection, topics: ExportTopics, key: BatchKey) -> bool:
    """Puts the stored records of a batch into the outbox again; returns False if there is no such
    batch.

    The records have the same ids as when they were sent first. Copies of these records in the
    quarantine are removed from it. Raises BytesMissing or DocumentRemoved.
    """
    row = await connection.fetchrow(SQL["sealed_bytes"], *key)
    if row is None:
        return False
    if not row["document_headers"]:
        raise BytesMissing
    if row["removed_after_days"] is not None:
        raise DocumentRemoved(key, row["removed_after_days"])
    record_key = row["record_key"].encode()
    document = Message(record_key, row["document"], outbox.unpack_headers(row["document_headers"]))
    manifest = Message(record_key, row["manifest"], outbox.unpack_headers(row["manifest_headers"]))
    parts = ((topics.manifest, manifest), (topics.batch, document))
    now = await connection.fetchval(SQL["clock"])
    await quarantine.queue_batch_again(connection, key, parts, now)
    return True


@dataclass(frozen=True, slots=True)
class SealedBefore:
    """The known facts of a batch that another database had sealed; `total` is in minor units."""

    institution_id: str
    profile: str
    batch_number: int
    sealed_at: datetime
    currency: str
    count: int
    total: int
    sha256: str
    file_name: str


def encode_batch(manifest: Manifest | SealedBefore, document: bytes, ce_source: str) -> Message:
    """Returns the record of the XML as it was sealed; its headers have the number of fines and the
    total, which a loader checks.
    """
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
    """Returns the record of the manifest; the header `ce_subject` names its batch."""
    key, batch = _ids(manifest)
    ce_id = batch + b"/manifest"
    headers = (
        *headers_of("export-manifest.v1", ce_id, ce_source, manifest.sealed_at, batch, key),
        ("content-type", JSON),
    )
    return Message(key, json_bytes(manifest_members(manifest)), headers)


def manifest_members(manifest: Manifest) -> Members:
    """Returns the members of the manifest's JSON; times are datetimes until they are encoded."""
    amount = format_of(manifest.currency)
    return {
        "institution_id": manifest.institution_id,
        "profile": manifest.profile,
        "mode": manifest.terms.mode.value,
        "batch_number": manifest.batch_number,
        "export_number": str(manifest.export_number),
        "run_id": manifest.run_id,
        "part": manifest.part,
        "last": manifest.last,
        "cutoff": manifest.cutoff,
        "sealed_at": manifest.sealed_at,
        "currency": manifest.currency,
        **members_of_totals(manifest.totals, manifest.currency),
        "size_bytes": manifest.size_bytes,
        "sha256": manifest.sha256,
        "previous_sha256": manifest.previous_sha256,
        "file_name": manifest.file_name,
        "terms": members_of_terms(manifest.terms, manifest.currency),
        "held_back": [
            {"reason": reason.value, "count": count} for reason, count in manifest.held_back
        ],
        "lines": [
            {
                "bursar_transaction_id": each.bursar_transaction_id,
                "fine_id": each.fine_id,
                "amount": amount(each.amount),
                "status": each.status.value,
            }
            for each in manifest.lines
        ],
    }


def _ids(manifest: Manifest | SealedBefore) -> tuple[bytes, bytes]:
    """The key of both records, and the ce_id of the batch."""
    key = f"{manifest.institution_id}/{manifest.profile}".encode()
    return key, b"%b/%d" % (key, manifest.batch_number)
