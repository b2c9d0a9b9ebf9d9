"""Sealed batches of a profile as they stand in the topics, made without a database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from confluent_kafka import Producer

from service.export.publish import encode_batch, encode_manifest
from service.export.xml.proof import prove
from service.export.xml.write import render
from service.messages.encode import Message
from tests.golden.batches import CUTOFF, batch, line, patron
from tests.support.batches import manifest_in_run
from tests.support.topics import must_be_delivered

SECONDS_MAX = 30


@dataclass(frozen=True)
class Sealed:
    """One batch's two records."""

    batch_number: int
    file_name: str
    sha256: str
    document: Message
    manifest: Message

    @property
    def bytes(self) -> bytes:
        assert self.document.value is not None
        return self.document.value

    def spoilt(self) -> Sealed:
        """Another amount in the document, the manifest as it was."""
        other = self.bytes.replace(b"<xb:sum>", b"<xb:sum>1", 1)
        return replace(self, document=self.document._replace(value=other))


def sealed_chain(
    count: int,
    profile: str = "DAILY",
    fines: int = 2,
    institution: str = "972",
    *,
    later: timedelta = timedelta(),
    export_numbers: Sequence[int] = (),
) -> list[Sealed]:
    """Batches 1 to `count`, each with the hash of the one before.

    `later`: cutoffs so much later, as after a restore; `export_numbers`: of the first ones, counted
    from 1.
    """
    chain: list[Sealed] = []
    numbers = [*export_numbers, *range(len(export_numbers) + 1, count + 1)]
    for number in range(1, count + 1):
        lines = [line(number * 1_000 + n, 10_00 + n) for n in range(fines)]
        of = batch(
            *([patron(f"p{number:03}", *lines)] if lines else []),
            institution_id=institution,
            profile=profile,
            batch_number=number,
            export_number=100_000_000_000_000 + numbers[number - 1],
            cutoff=CUTOFF + timedelta(minutes=number) + later,
        )
        document = render(of)
        manifest = manifest_in_run(
            of,
            document,
            prove(of, document),
            run_id=f"run-{number}",
            sealed_at=datetime(2026, 9, 12, 20, 0, tzinfo=UTC) + timedelta(minutes=number),
            previous_sha256=chain[-1].sha256 if chain else None,
        )
        chain.append(
            Sealed(
                number,
                manifest.file_name,
                manifest.sha256,
                encode_batch(manifest, document, "/test"),
                encode_manifest(manifest, "/test"),
            )
        )
    return chain


def publish(servers: str, prefix: str, *batches: Sealed, only: str | None = None) -> None:
    """Both records of each, in order; `only`: those of one topic."""
    producer = Producer(
        {"bootstrap.servers": servers, "message.max.bytes": 20_000_000, "log_level": 0}
    )
    for item in batches:
        for contract, message in (
            ("export-batch.v1", item.document),
            ("export-manifest.v1", item.manifest),
        ):
            if only in (None, contract):
                producer.produce(
                    prefix + contract,
                    message.value,
                    message.key,
                    headers=list(message.headers),
                    on_delivery=must_be_delivered,
                )
    assert producer.flush(SECONDS_MAX) == 0
