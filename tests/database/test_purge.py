"""The purge: what goes when its retention has ended, and what of it stays, kind by kind."""

from __future__ import annotations

import asyncpg
import pytest

from service.apply.operator_actions import Justification
from service.core.ledger import BatchKey
from service.core.words import RejectedState
from service.export.publish import DocumentRemoved
from service.operations import parked, rejected
from service.operations.history import story_of_fines
from service.operations.rejected import RejectedFilter
from tests.support.deciding import (
    PROFILE,
    WHY,
    export,
    exported,
    parked_now,
    rejected_by_the_database,
    rejected_now,
)
from tests.support.purging import grow_old, kind_of, purge_now, purged
from tests.support.quarantine import DOCUMENT, in_quarantine, put_in_quarantine
from tests.support.write_path import PREFIX, WritePath, change, fine, outbox_of, profiles_of

KEPT_DAYS, OLD_DAYS = 399, 401
BYTES = "SELECT record_key, record_value, record_headers FROM rejected"
SIS = BatchKey("6050", "SIS", 1)


async def test_the_bytes_of_a_rejected_record_go_and_the_record_is_still_known(
    path: WritePath,
) -> None:
    await path.take(change(amount="-1"))
    await grow_old(path, KEPT_DAYS)
    assert await purged(path) == {}
    await grow_old(path, OLD_DAYS - KEPT_DAYS)
    assert await purged(path) == {"rejected": 1}
    assert await path.rows(BYTES) == [
        {"record_key": None, "record_value": None, "record_headers": b"[]"}
    ]
    (record,) = await rejected_now(
        path, RejectedFilter(institution_id="6050", source="ALMA", id="C-1")
    )
    assert (record.state, record.removed_after_days) == (RejectedState.OPEN, OLD_DAYS)
    async with path.pool.acquire() as connection:
        (names,) = await rejected.names_of(connection, [record])
        assert names is not None
        assert (names.source, names.id, names.fine_id) == ("ALMA", "C-1", "F-1")
        assert await rejected.origin_of(connection, record) is None
        story = await story_of_fines(connection, "6050", ["F-1"])
    assert [entry.reference for entry in story.entries] == ["ALMA: C-1"]
    assert await purged(path) == {}, "once is enough"


async def test_what_was_removed_can_be_closed_but_not_replayed(path: WritePath) -> None:
    await path.take(change(amount="-1"))
    await grow_old(path, OLD_DAYS)
    await purged(path)
    (record,) = await rejected_now(path)
    result = await rejected.replay(path.applier, record, WHY)
    assert (result.done, result.outcome) == (
        False,
        "its bytes were removed after 401 days: its sender can send it again",
    )
    assert (await rejected.discard(path.applier, record, WHY)).done


async def test_a_record_is_known_by_its_digest_if_it_is_read_again(path: WritePath) -> None:
    """Such as after an operator has set the offsets back; another one at its place is another."""
    bad, other = change(amount="-1"), change(amount="-2")
    back = "UPDATE consumer_offset SET next_offset = 0"
    poll, poll_of_other = await path.poll([bad]), await path.poll([other])
    await path.apply(poll)
    await purge_now(path, kind_of("rejected"))
    await path.pool.execute(back)
    await path.apply(poll)
    topics = "SELECT topic, original_removed_at IS NULL AS whole FROM rejected ORDER BY topic"
    topic = f"{PREFIX}fine-changed.v1"
    assert await path.rows(topics) == [{"topic": topic, "whole": False}]
    await path.pool.execute(back)
    await path.apply(poll_of_other)
    first, second = await path.rows(topics)
    assert first == {"topic": topic, "whole": True}
    assert str(second["topic"]).startswith(f"{topic}@")


async def test_rejected_lines_of_files_have_a_retention_of_their_own(path: WritePath) -> None:
    await path.take(change(amount="-1"))
    await path.pool.execute(
        "INSERT INTO rejected SELECT (jsonb_populate_record(kept, jsonb_build_object("
        "'topic', 'import' || mark))).* FROM rejected AS kept, (VALUES (''), ('@2026')) AS m (mark)"
    )
    await grow_old(path, OLD_DAYS)
    assert await purged(path, import_retention_days=0) == {"rejected": 1}
    assert await purged(path, rejected_retention_days=0) == {"import": 2}


async def test_an_internal_error_goes_when_its_record_was_decided_and_stays_while_it_waits(
    path: WritePath,
) -> None:
    record = fine(loan_id="L-odd")
    await rejected_by_the_database(path, record)
    await path.take(fine(fine_id="F-2", loan_id="L-odd"), fine(fine_id="F-3", loan_id="L-odd"))
    await path.pool.execute("UPDATE parked_error SET record_value = 'x' WHERE record_offset = 2")
    await path.pool.execute("ALTER TABLE fine DROP CONSTRAINT odd")
    await grow_old(path, 31)
    assert await purged(path) == {}
    await path.take(record, fine(fine_id="F-2", loan_id="L-odd", amount="7.77"))
    assert await purged(path, parked_error_retention_days=32) == {}
    assert await purged(path) == {"parked_error": 1}
    left = await path.rows("SELECT record_offset FROM parked_error ORDER BY record_offset")
    assert [row["record_offset"] for row in left] == [1, 2], "a conflict, and one that is not read"


async def test_the_xml_of_a_batch_goes_and_the_batch_stays(path: WritePath) -> None:
    await exported(path)
    query = "SELECT * FROM report_batch"
    await grow_old(path, OLD_DAYS)
    await path.pool.execute("DELETE FROM outbox")
    (before,) = await path.rows(query)
    assert await purged(path) == {"batch": 1}
    (after,) = await path.rows(query)
    assert {name for name in before if before[name] != after[name]} == {"document_removed_at"}
    assert await path.value("SELECT octet_length(manifest) > 0 FROM export_batch")
    with pytest.raises(DocumentRemoved, match="removed from the database after 401 days"):
        await path.exports(profiles_of(PROFILE)).resend(SIS)
    assert await outbox_of(path.pool, DOCUMENT) == []


async def test_an_older_release_does_not_send_an_empty_batch(path: WritePath) -> None:
    """As 0.3.0 and 0.7.0 read what was sealed, and put it into the outbox again."""
    await exported(path)
    await path.pool.execute("DELETE FROM outbox")
    await purge_now(path, kind_of("batch"))
    again = (
        "INSERT INTO outbox (topic, keys, payloads, headers, recorded_at) SELECT $1,"
        " ARRAY['6050/SIS'::bytea], ARRAY[document], ARRAY[document_headers], now()"
        " FROM export_batch"
    )
    with pytest.raises(asyncpg.RestrictViolationError, match="its topic has it"):
        await path.pool.execute(again, PREFIX + DOCUMENT)


async def test_a_batch_that_waits_to_be_sent_or_is_in_quarantine_keeps_its_xml(
    path: WritePath,
) -> None:
    await exported(path)
    assert await purge_now(path, kind_of("batch")) == 0, "in the outbox"
    await put_in_quarantine(path, DOCUMENT)
    assert await purge_now(path, kind_of("batch")) == 0, "in quarantine"
    await path.pool.execute("DELETE FROM outbox_set_aside")
    assert await purge_now(path, kind_of("batch")) == 1


async def test_of_the_quarantine_the_notes_go_and_the_records_stay(path: WritePath) -> None:
    await exported(path)
    await put_in_quarantine(path, DOCUMENT)
    (record_id,) = await in_quarantine(path)
    assert await purge_now(path, kind_of("quarantine")) == 0
    insert = "INSERT INTO quarantine_release (outbox_id, place, queued_as) VALUES ($1, 0, $2)"
    await path.pool.execute(insert, 900, record_id.outbox_id)  # the copy is in quarantine again
    await path.take(fine(fine_id="F-9"))
    waiting = await path.value("SELECT min(id) FROM outbox")
    await path.pool.execute(insert, waiting, 901)
    await path.pool.execute(insert, 902, waiting)
    assert await purge_now(path, kind_of("quarantine")) == 0
    await path.pool.execute("DELETE FROM outbox")
    assert await purge_now(path, kind_of("quarantine")) == 2
    assert await in_quarantine(path) == [record_id]


async def test_runs_go_but_the_newest_of_a_profile_and_open_ones(path: WritePath) -> None:
    for number in range(3):
        await path.take(fine(fine_id=f"F-{number}"))
        await export(path)
    await path.pool.execute(
        "INSERT INTO export_run (institution_id, profile, run_id, cutoff, state)"
        " SELECT '6050', code, code, min(cutoff) - interval '1 hour', made.state"
        " FROM export_run, (VALUES ('SIS', 'open'), ('OLD', 'closed')) AS made (code, state)"
        " GROUP BY code, made.state"
    )
    await grow_old(path, OLD_DAYS)
    newest = await path.value("SELECT max(cutoff) FROM export_run")
    assert (await purged(path, batch_retention_days=0)) == {"run": 2}
    left = await path.rows("SELECT profile, state, cutoff = $1 AS newest FROM export_run", newest)
    assert sorted(tuple(row.values()) for row in left) == [
        ("OLD", "closed", False),
        ("SIS", "closed", True),
        ("SIS", "open", False),
    ]


async def test_of_a_decision_the_texts_go_and_the_decision_stays(path: WritePath) -> None:
    await rejected_by_the_database(path, fine(loan_id="L-odd"))
    (item,) = await parked_now(path)
    why = Justification("ann", "the mother of Jane Doe called")
    assert (await parked.discard(path.applier, item, why)).done
    await grow_old(path, 3_651)
    query = "SELECT action, subject, outcome, reason, operator FROM operator_action"
    (before,) = await path.rows(query)
    assert await purged(path, rejected_retention_days=0) == {"operator_action": 1}
    assert await path.rows(query) == [
        {**before, "reason": "removed after 3651 days", "operator": "removed"}
    ]
    for text in ("reason = 'another'", "operator = 'bob'", "texts_removed_at = NULL"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await path.pool.execute(f"UPDATE operator_action SET {text}")
