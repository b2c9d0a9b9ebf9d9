"""The proof of a document: whatever differs from the batch is refused before the seal."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import assume, given

from service.core.ledger import Item
from service.export.batch import Batch, InvalidBatch, totals_of_batch
from service.export.xml.proof import NotReadBack, prove
from service.export.xml.stream import UnreadableDocument
from service.export.xml.write import render
from tests.golden.batches import CUTOFF, MAIN, any_batch, batch, line, patron

ITEM = Item("Cosmology", "QA76 .C1", "Main Library", "Stacks", "4-7", CUTOFF, "39031")
NIL = ' xsi:nil="true" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
SENT = batch(
    patron("ann", line(1, 12_34, owner=MAIN, comment="late", item=ITEM), line(2, 7_00)),
    patron("ben", line(3, item=Item("Optics", location="Desk")), match=("02", "7")),
)
DOCUMENT = render(SENT)


@given(any_batch())
def test_what_was_printed_is_proved_and_has_the_totals_of_the_batch(drawn: Batch) -> None:
    assert prove(drawn, render(drawn)) == totals_of_batch(drawn)


@given(any_batch(), any_batch())
def test_the_document_of_another_batch_is_refused(drawn: Batch, other: Batch) -> None:
    document = render(other)
    assume(document != render(drawn))
    with pytest.raises(NotReadBack):
        prove(drawn, document)


@pytest.mark.parametrize(
    ("printed", "instead"),
    [
        ("<xb:sum>12.34</xb:sum>", "<xb:sum>12.35</xb:sum>"),
        ("<xb:currency>USD</xb:currency>", "<xb:currency>EUR</xb:currency>"),
        (">100000000000042<", ">100000000000043<"),
        (">OVERDUEFINE<", ">LOSTITEM<"),
        (">972</xb:InstitutionId><xb:libraryId>", ">973</xb:InstitutionId><xb:libraryId>"),
        ("<xb:libraryId>11111</xb:libraryId><xb:libraryCode>MAIN</xb:libraryCode>", ""),
        ("<xb:value>7</xb:value>", "<xb:value>07</xb:value>"),
        (">Ben, Ann<", ">Ben,  Ann<"),
        (">Cosmology<", ">Cosmology <"),
        ("<xb:itemBarcode>39031</xb:itemBarcode>", ""),
        ("<xb:itemBarcode>39031<", "<xb:itemBarcode>0<"),
        ("<xb:itemLocation>Stacks</xb:itemLocation>", "<xb:itemLocation/>"),
        ("<xb:fineFeeComment>late</xb:fineFeeComment>", f"<xb:fineFeeComment{NIL}/>"),
        (f"<xb:fineFeeComment{NIL}/>", "<xb:fineFeeComment/>"),
        (f"<xb:fineFeeComment{NIL}/>", f"<xb:fineFeeComment{NIL[:10]}1{NIL[14:]}/>"),
        (f"<xb:itemDueDate{NIL}/>", ""),
        ("09/12/2026 15:22:06 EDT", "09/12/2026 19:22:06 UTC"),
        # Some readers end the text there.
        ("<xb:sum>12.34<", "<xb:sum>12<!-- -->.34<"),
        (">Cosmology<", ">Cosmo<?x?>logy<"),
        ("<xb:user>", "<!-- --><xb:user>"),
        # The same text in another element.
        (
            "<xb:itemLocation>Desk</xb:itemLocation>",
            "<xb:itemInternalLocation>Desk</xb:itemInternalLocation>",
        ),
    ],
)
def test_a_valid_document_that_says_something_else_is_refused(printed: str, instead: str) -> None:
    assert DOCUMENT.count(printed.encode()) >= 1
    with pytest.raises(NotReadBack, match="differs"):
        prove(SENT, DOCUMENT.replace(printed.encode(), instead.encode(), 1))


@pytest.mark.parametrize(
    ("printed", "instead"),
    [
        ("<xb:sum>12.34</xb:sum>", "<xb:sum>0</xb:sum>"),
        ("<xb:patronName>Ben, Ann</xb:patronName>", ""),
        ("</xb:xml-fragment>", ""),
        ("?>\n<", "?>\n<!DOCTYPE xml-fragment []><"),
        # A text with tabs or line breaks could be taken for other elements.
        (">Cosmology<", ">Cosmology\t<"),
        (">Cosmology<", ">Cosmology&#9;<"),
        (">Cosmology<", ">Cosmology\n<"),
        (">Cosmology<", ">Cosmology\r<"),
        (">Ben, Ann<", ">Ben,\tAnn<"),
        (">MAIN<", ">MA\nIN<"),
    ],
)
def test_a_document_that_is_not_valid_is_refused(printed: str, instead: str) -> None:
    with pytest.raises(UnreadableDocument):
        prove(SENT, DOCUMENT.replace(printed.encode(), instead.encode(), 1))


def test_a_sum_that_no_reader_takes_is_refused() -> None:
    sent = batch(patron("ann", line(1, 10**15)))
    with pytest.raises(InvalidBatch, match="sum: "):
        prove(sent, render(sent))


def test_blanks_between_elements_and_another_prefix_are_refused() -> None:
    for blank in (b" ", b"\t", b"\n"):
        with pytest.raises(NotReadBack, match="differs"):
            prove(SENT, DOCUMENT.replace(b"<xb:user>", blank + b"<xb:user>", 1))
    with pytest.raises(NotReadBack, match="differs"):
        prove(SENT, DOCUMENT.replace(b">100000000000042<", b">\n100000000000042<"))
    with pytest.raises(NotReadBack, match="differs"):
        prove(SENT, DOCUMENT.replace(b"xb:", b"bx:").replace(b"xmlns:xb", b"xmlns:bx"))


def test_fines_in_another_order_are_refused() -> None:
    start, end = b"<xb:userFineFee>", b"</xb:userFineFee>"
    first, second = (part.partition(end)[0] for part in DOCUMENT.split(start)[1:3])
    turned = DOCUMENT.replace(first, b"\0").replace(second, first).replace(b"\0", second)
    with pytest.raises(NotReadBack, match="differs"):
        prove(SENT, turned)


def test_another_instant_is_refused() -> None:
    ann, ben = SENT.patrons
    later = replace(ben, lines=(line(3, item=replace(ITEM, due_date=CUTOFF + timedelta(days=1))),))
    with pytest.raises(NotReadBack, match="differs"):
        prove(SENT, render(replace(SENT, patrons=(ann, later))))
