"""Adopts an export batch that was published, but is missing in the restored database: copies its
bytes, numbers, run, terms and lines from Kafka into the database, in one commit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from ..core.bursar_ids import COUNTER_DIGITS, EARLIER_DIGITS, NUMBER_MIN
from ..database.encodings import terms_id
from ..database.ledger_write import put_terms
from ..database.outbox import pack_headers
from ..database.session import Connection, statements
from ..messages.manifests import PublishedManifest
from ..runtime.problems import OperatorError
from .known import Record

SQL = statements("recovery")


class IdsTaken(OperatorError):
    """A bursar transaction id of a published batch already belongs to another export line in this
    database.
    """


@dataclass(slots=True)
class HighestNumbers:
    """The highest numbers that were published for each institution: export numbers, bursar
    transaction ids in the form of releases up to 0.6.0, and the counter in the shorter ids of later
    releases.
    """

    exports: dict[str, int] = field(default_factory=dict)
    earlier_ids: dict[str, int] = field(default_factory=dict)
    line_numbers: dict[str, int] = field(default_factory=dict)

    def note(self, manifest: PublishedManifest) -> None:
        """Replaces the highest numbers by those in the manifest of a published batch, where the
        manifest has higher ones.
        """
        owner = manifest.institution_id
        _raise(self.exports, owner, int(manifest.export_number))
        for export_line in manifest.lines:
            digits = export_line.bursar_transaction_id
            if len(digits) == EARLIER_DIGITS:
                _raise(self.earlier_ids, owner, int(digits))
            elif len(digits) == COUNTER_DIGITS + 1 and int(digits[:-1]) >= NUMBER_MIN:
                _raise(self.line_numbers, owner, int(digits[:-1]))


def _raise(highest: dict[str, int], owner: str, number: int) -> None:
    highest[owner] = max(number, highest.get(owner, 0))


async def raise_counters(connection: Connection, highest: HighestNumbers) -> None:
    """Sets the counters of the database above every published number, so that no number is given
    out twice. The counters are never lowered.
    """
    for owner, export_number in sorted(highest.exports.items()):
        earlier = highest.earlier_ids.get(owner, 0)
        await connection.execute(SQL["raise_export_counter"], owner, export_number, earlier)
    for owner, line_number in sorted(highest.line_numbers.items()):
        await connection.execute(SQL["raise_line_counter"], owner, line_number)


async def adopt(
    connection: Connection,
    epoch: int,
    manifest: PublishedManifest,
    listing: Record,
    document: Record | None,
) -> None:
    """Adopts one batch inside the caller's transaction; the caller passes the batches of a profile
    in ascending order.

    `listing` is the Kafka record of the manifest, and `document` that of the XML, or None if the
    topic does not have it. Without `document` the service prints the XML again, once the fine of
    every line has taken its line. Raises IdsTaken.
    """
    terms = manifest.terms()
    assert terms is not None, "the plan lets no batch without terms pass"
    await _require_free_ids(connection, manifest)
    owner, key = manifest.institution_id, (manifest.institution_id, manifest.profile)
    await put_terms(connection, [(owner, terms)])
    state = "missing" if document is None else "published"
    await connection.execute(SQL["put_adopted_batch"], *manifest.key, epoch, terms_id(terms), state)
    await _put_export_batch(connection, manifest, listing, document)
    await _put_lines(connection, manifest, terms_id(terms))
    await _put_run(connection, manifest)
    await connection.execute(
        SQL["set_profile_counter"], *key, manifest.batch_number, bytes.fromhex(manifest.sha256)
    )


async def _require_free_ids(connection: Connection, manifest: PublishedManifest) -> None:
    ids = [each.bursar_transaction_id for each in manifest.lines]
    if await connection.fetchval(SQL["count_lines_taken"], manifest.institution_id, ids):
        raise IdsTaken(
            f"batch {manifest.batch_number} of profile {manifest.profile}: a bursar transaction id "
            "is another line's in this database; an older release has exported after the restore. "
            "Restore the backup once more and run only this release"
        )


async def _put_export_batch(
    connection: Connection, manifest: PublishedManifest, listing: Record, document: Record | None
) -> None:
    previous = manifest.previous_sha256
    await connection.execute(
        SQL["put_export_batch"],
        *manifest.key,
        manifest.run_id,
        int(manifest.export_number),
        manifest.currency,
        manifest.count,
        manifest.minor_total,
        manifest.file_name,
        bytes.fromhex(manifest.sha256),
        None if previous is None else bytes.fromhex(previous),
        b"" if document is None else document.value,
        b"" if document is None else _headers(document),
        listing.value,
        _headers(listing),
        manifest.cutoff,
        manifest.sealed_at,
    )


async def _put_lines(connection: Connection, manifest: PublishedManifest, terms: str) -> None:
    export_lines = manifest.lines
    await connection.execute(
        SQL["put_lines"],
        *manifest.key,
        manifest.currency,
        terms,
        manifest.cutoff,
        int(manifest.export_number),
        [each.bursar_transaction_id for each in export_lines],
        [each.fine_id for each in export_lines],
        manifest.amounts(),
        [each.status.value for each in export_lines],
    )


async def _put_run(connection: Connection, manifest: PublishedManifest) -> None:
    """The run of the batch, which ends with its last batch, or is continued by the next export."""
    key = (manifest.institution_id, manifest.profile)
    held_back: Mapping[str, int] = {each.reason: each.count for each in manifest.held_back}
    await connection.execute(SQL["close_other_runs"], *key, manifest.run_id)
    await connection.execute(
        SQL["put_run"],
        *key,
        manifest.run_id,
        manifest.cutoff,
        manifest.part,
        orjson.dumps(held_back).decode(),
        "closed" if manifest.last else "open",
    )
    await connection.execute(SQL["drop_plan"], *key)
    if manifest.last:
        await connection.execute(SQL["put_run_end"], *key, manifest.sealed_at)


def _headers(record: Record) -> bytes:
    return pack_headers(tuple((name, value or b"") for name, value in record.headers))
