"""Manifests as they were published, read again to adopt their batches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.export.publish import encode_manifest
from service.export.xml.proof import prove
from service.export.xml.write import render
from service.messages.manifests import UnreadableManifest, read_manifest
from tests.contracts.examples import CONTRACTS
from tests.golden.batches import golden_batches
from tests.support.batches import manifest_in_run

VALID = sorted((CONTRACTS / "examples" / "export-manifest.v1" / "valid").glob("*.json"))


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_every_example_says_all_that_an_adoption_needs(path: Path) -> None:
    members = json.loads(path.read_text("utf-8"))
    manifest = read_manifest(path.read_bytes())
    assert manifest.key == (members["institution_id"], members["profile"], members["batch_number"])
    assert manifest.count == len(manifest.amounts())
    assert manifest.terms() is not None


def test_the_terms_are_those_that_the_fines_have_kept() -> None:
    sent = golden_batches()["full.xml"]
    document = render(sent)
    sealed = manifest_in_run(sent, document, prove(sent, document))
    manifest = read_manifest(encode_manifest(sealed, "/test").value)
    assert manifest.terms() == sealed.terms
    assert manifest.amounts() == [line.amount for line in sealed.lines]
    assert (manifest.minor_total, manifest.sha256) == (sealed.total, sealed.sha256)


@pytest.mark.parametrize(
    ("member", "value", "says"),
    [
        ("batch_number", 0, "batch_number"),
        ("sha256", "x", "sha256"),
        ("cutoff", "2026-09-12T20:00:00", "cutoff"),
        ("total", "1.00", "count or total"),
        ("count", 7, "count or total"),
        ("currency", "XYZ", "currency"),
        ("lines", None, "lines"),
    ],
)
def test_a_manifest_that_does_not_say_everything_is_refused(
    member: str, value: object, says: str
) -> None:
    members = json.loads(VALID[-1].read_text("utf-8")) | {member: value}
    with pytest.raises(UnreadableManifest, match=says):
        read_manifest(json.dumps(members).encode())


@pytest.mark.parametrize("value", [None, b"", b"[]", b"{", b"garbage"])
def test_what_is_no_manifest_is_refused(value: bytes | None) -> None:
    with pytest.raises(UnreadableManifest):
        read_manifest(value)


def test_a_manifest_of_a_release_without_terms_has_none() -> None:
    members = json.loads(VALID[-1].read_text("utf-8"))
    del members["terms"]
    assert read_manifest(json.dumps(members).encode()).terms() is None
