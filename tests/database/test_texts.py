"""Texts as catalogues have them: what is stored, exported and counted, and what stays a repeat."""

from __future__ import annotations

import pytest

from service.apply.applier import Applier
from service.apply.tally import TallyInMetrics
from service.core.events import Rejection
from service.core.words import Reason
from service.database.ledger_read import LedgerReader
from service.export.xml.read import ReadPatron, read
from service.messages.decode import parse
from service.operations import parked
from service.runtime.telemetry import Metrics
from tests.support.deciding import WHY, done, parked_now, rejected_now
from tests.support.exports import patron, profiles_with, run
from tests.support.guards import Unguarded
from tests.support.inputs import ABSENT
from tests.support.inputs import record as origin_of
from tests.support.write_path import (
    OUTPUTS,
    Record,
    WritePath,
    change,
    fine,
    outbox_of,
    payment,
    response,
)

TITLES = {
    "\u0098Der\u009c Prozess /": "Der Prozess /",
    "Title\u000cpart\u001f2": "Title part 2",
    "\u05d4\u05de\u05e9\u05e4\u05d8\u200f": "\u05d4\u05de\u05e9\u05e4\u05d8",
    "\u0627\u0644 (\u200e1925\u200e)": "\u0627\u0644 (1925)",
    "T" * 1_200: "T" * 1_000,
}


async def patrons_exported(path: WritePath) -> list[ReadPatron]:
    (sent,) = await outbox_of(path.pool, "export-batch.v1")
    assert sent.value is not None
    return list(read(sent.value).patrons)


async def test_a_fine_is_billed_whatever_its_title_has(path: WritePath) -> None:
    await path.take(
        *(
            fine(fine_id=f"F-{n}", patron=patron(n, name=title), item={"title": title})
            for n, title in enumerate(TITLES)
        )
    )
    await run(path, profiles_with())
    exported = await patrons_exported(path)
    assert [each.lines[0].texts["item_title"] for each in exported] == list(TITLES.values())
    assert [each.name for each in exported] == [title[:300] for title in TITLES.values()]
    assert await path.value("SELECT count(*) FROM rejected") == 0


async def test_an_identifier_is_exported_trimmed_and_two_spellings_of_it_are_one(
    path: WritePath,
) -> None:
    def of(n: int, *values: str) -> Record:
        pairs = [{"type": "02", "value": value} for value in values]
        return fine(fine_id=f"F-{n}", patron=patron(n, identifiers=pairs))

    await path.take(
        of(1, "0012345 "), of(2, "0012346", "0012346\u00a0"), of(3, "1"), of(4, "1", "2")
    )
    # As a release before this one stores what it reads.
    await path.pool.execute(
        'UPDATE patron SET identifiers = \'[["02", "0012347\u00a0"], ["02", "0012347"]]\''
        " WHERE patron_id = 'P-00003'"
    )
    await run(path, profiles_with())
    exported = [each.match_value for each in await patrons_exported(path)]
    assert exported == ["0012345", "0012346", "0012347"]


async def test_texts_that_are_cut_are_counted_by_field(path: WritePath) -> None:
    metrics = Metrics()
    sink = TallyInMetrics(metrics)
    path.applier = Applier(Unguarded(path.pool), LedgerReader(parse), OUTPUTS, tally_sink=sink)
    await path.take(
        *(fine(fine_id=f"F-{n}", item={"title": "T" * (999 + n)}) for n in range(4)),
        payment(comment="c" * 2_001),
    )
    counts = {
        (sample.labels["topic"], sample.labels["field"]): sample.value
        for metric in metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "bursar_texts_cut_total"
    }
    assert counts == {
        ("library.fine-created.v1", "item.title"): 2,
        ("library.bursar-payment.v1", "comment"): 1,
    }


# --- repeats of what an earlier release has read -------------------------------------------------

ODD = "two  blanks\tand \u2028 a line"


def sent(kind: str, text: str = ODD) -> Record:
    """A record of the kind with a text that is read otherwise now."""
    lines = [{"bursar_transaction_id": "42", "reason": text}]
    return {
        "fine": lambda: fine(item={"title": text, "location": ""}),
        "change": lambda: change(reason=text),
        "payment": lambda: payment(comment=text),
        "response": lambda: response(outcome="partial", refused_lines=lines),
    }[kind]()


def earlier_digest(record: Record) -> bytes:
    """The digest that an earlier release has stored for the record."""
    event = parse(record.contract, origin_of(record.contract, record.value, record.headers))
    assert not isinstance(event, Rejection)
    assert event.earlier_digest is not None
    return event.earlier_digest


TABLES = {
    "fine": "fine",
    "change": "fine_change",
    "payment": "payment",
    "response": "export_response",
}


@pytest.mark.parametrize("kind", TABLES)
async def test_a_record_that_an_earlier_release_has_taken_is_a_repeat(
    path: WritePath, kind: str
) -> None:
    await path.take(sent(kind))
    assert (await path.take(sent(kind))).outcomes == {"repeat": 1}
    await path.pool.execute(f"UPDATE {TABLES[kind]} SET digest = $1", earlier_digest(sent(kind)))
    assert (await path.take(sent(kind))).outcomes == {"repeat": 1}
    conflict = "change_conflict" if kind == "change" else f"{kind}_conflict"
    report = await path.take(sent(kind, "another text"), sent(kind, "two blanks and one line"))
    assert report.outcomes == {f"rejected:{conflict}": 2}


async def test_a_record_that_an_earlier_release_has_parked_keeps_its_identity(
    path: WritePath,
) -> None:
    await path.take(sent("payment"), sent("change"))
    for kind in ("payment", "change"):
        digest = earlier_digest(sent(kind))
        await path.pool.execute(f"UPDATE {TABLES[kind]} SET digest = $1", digest)
    report = await path.take(sent("fine"), sent("payment"), sent("change"))
    assert report.outcomes["repeat"] == 2
    await run(path, profiles_with())
    for kind in ("payment", "change"):
        assert await path.value(f"SELECT state FROM {TABLES[kind]}") == "applied"
        stored = await path.value(f"SELECT digest FROM {TABLES[kind]}")
        assert stored == earlier_digest(sent(kind))
        assert (await path.take(sent(kind))).outcomes == {"repeat": 1}


async def test_a_parked_record_keeps_its_bytes_beside_those_that_an_earlier_release_can_read(
    path: WritePath,
) -> None:
    """Such a release runs beside this one while an installation is updated."""
    record = sent("payment", "a\x00b\u200f")
    framed = record._replace(value=b"\x00\x00\x00\x00\x01" + (record.value or b""))
    await path.take(framed, payment(payment_id="PAY-2"))
    rows = await path.rows("SELECT id, record_value FROM parked ORDER BY id")
    assert [str(row["id"]) for row in rows] == ["PAY-1", "PAY-2"]
    kept = rows[0]["record_value"]
    assert isinstance(kept, bytes)
    assert b'"comment":"a b"' in kept
    assert await path.value("SELECT count(*) FROM parked_original") == 1
    (item, _) = await parked_now(path)
    assert item.origin.value == framed.value
    done(await parked.discard(path.applier, item, WHY))
    assert await path.value("SELECT record_value FROM rejected") == framed.value
    assert await path.value("SELECT count(*) FROM parked_original") == 0


async def test_a_parked_record_with_a_blank_at_the_end_of_its_id_is_still_read(
    path: WritePath,
) -> None:
    """Releases up to 0.3.0 took it."""
    await path.take(payment(amount="5.00"))
    await path.pool.execute("UPDATE payment SET payment_id = 'PAY-1 '")
    await path.pool.execute(
        "UPDATE parked SET id = 'PAY-1 ', record_value = convert_to(replace("
        "convert_from(record_value, 'UTF8'), 'PAY-1', 'PAY-1 '), 'UTF8')"
    )
    await path.take(fine())
    await run(path, profiles_with())
    assert await path.rows("SELECT payment_id, state FROM payment") == [
        {"payment_id": "PAY-1 ", "state": "applied"}
    ]
    assert await path.value("SELECT count(*) FROM parked") == 0


# --- ids of lines --------------------------------------------------------------------------------


async def exported_line(path: WritePath) -> str:
    await path.take(fine())
    await run(path, profiles_with())
    return str(await path.value("SELECT line FROM fine"))


async def test_a_bursar_id_that_is_padded_is_that_of_its_line(path: WritePath) -> None:
    line = await exported_line(path)
    padded = payment(fine_id=ABSENT, bursar_transaction_id=line.zfill(20))
    assert (await path.take(padded)).outcomes == {"applied": 1}
    plain = payment(fine_id=ABSENT, bursar_transaction_id=line)
    assert (await path.take(plain)).outcomes == {"repeat": 1}


@pytest.mark.parametrize("zeros", ["0", "0" * 20])
async def test_zeros_alone_are_the_id_of_no_line(path: WritePath, zeros: str) -> None:
    await exported_line(path)
    lines = [{"bursar_transaction_id": zeros, "reason": "no"}]
    report = await path.take(
        payment(fine_id=ABSENT, bursar_transaction_id=zeros),
        payment(payment_id="PAY-2", bursar_transaction_id=zeros, amount="1.00"),
        response(outcome="partial", refused_lines=lines),
    )
    assert report.outcomes == {"rejected:unknown_line": 2, "applied": 1}


async def test_a_line_that_is_named_with_and_without_zeros_is_named_twice(path: WritePath) -> None:
    line = await exported_line(path)
    lines = [{"bursar_transaction_id": each, "reason": "no"} for each in (line, line.zfill(20))]
    await path.take(response(outcome="partial", refused_lines=lines))
    (item,) = await rejected_now(path)
    assert item.reason is Reason.NOT_LIVE
    assert item.detail.startswith("refused_lines.1.")
    await path.take(response(response_id="R-2", outcome="partial", refused_lines=lines[1:]))
    assert await path.value("SELECT status FROM fine") == "Active"
