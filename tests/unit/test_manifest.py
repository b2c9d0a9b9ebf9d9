"""Manifests of a batch: totals of its bytes, its lines, and the fines that were held back."""

from hashlib import sha256

import pytest

from service.export.batch import Batch, Sum
from service.export.manifest import TotalsDiffer
from service.export.selection import Exclusion
from service.export.xml.proof import prove
from service.export.xml.read import read, totals_of_read
from service.export.xml.write import render
from tests.golden.batches import batch, golden_batches, line, patron
from tests.support.batches import manifest_in_run

HELD_BACK = {Exclusion.REFUSED: 2}


def test_a_manifest_holds_totals_of_the_bytes_and_the_lines_in_order() -> None:
    sent = golden_batches()["full.xml"]
    document = render(sent)
    manifest = manifest_in_run(sent, document, prove(sent, document))
    totals = manifest.totals
    assert (manifest.count, manifest.total, manifest.totals.patrons) == (4, 404_59, 2)
    assert (totals.debits, totals.credits) == (Sum(3, 407_84), Sum(1, -3_25))
    assert totals.by_owner == (("MAIN", Sum(2, 395_50)), ("institution", Sum(2, 9_09)))
    assert [code for code, _ in totals.by_type] == sorted(code for code, _ in totals.by_type)
    assert manifest.sha256 == sha256(document).hexdigest()
    assert manifest.size_bytes == len(document)
    assert manifest.file_name == "main-100000000000042-1789241400250.xml"
    assert [row.fine_id for row in manifest.lines] == [
        "fine-001",
        "fine-005",
        "fine-003",
        "fine-004",
    ]


def test_held_back_fines_are_counted_in_the_last_batch_of_a_run_alone() -> None:
    sent = batch()
    document_, totals = render(sent), totals_of_read(read(render(sent)))
    last = manifest_in_run(sent, document_, totals, part=2, held_back=HELD_BACK)
    assert last.held_back == ((Exclusion.REFUSED, 2),)
    earlier = manifest_in_run(sent, document_, totals, is_last=False, held_back=HELD_BACK)
    assert earlier.held_back == ()


@pytest.mark.parametrize(
    "other",
    [
        batch(patron("abel", line(1, 94_99))),
        batch(patron("abel", line(1, 95_00, type="OTHER"))),
        batch(patron("abel", line(1, 95_00)), patron("baker", line(2, 1))),
    ],
)
def test_a_batch_whose_bytes_hold_something_else_has_no_manifest(other: Batch) -> None:
    sent = batch(patron("abel", line(1, 95_00)))
    with pytest.raises(TotalsDiffer):
        manifest_in_run(sent, render(other), totals_of_read(read(render(other))))
