"""No statement over the ledger of a large institution takes time that grows faster than the rows.

Each runs with fresh statistics, with none as right after a restore, and with those of the
institution's first day; what it reads is counted in rows.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from enum import StrEnum

import asyncpg
import pytest

from service.database.session import Connection, statements
from tests.conftest import with_database
from tests.support.adopted_calls import STATEMENTS_OF_ADOPTION
from tests.support.audit_calls import STATEMENTS_OF_AUDIT
from tests.support.large_ledger import INSTITUTION, fill
from tests.support.plans import Call, Reads, indexes_of, rows_handled
from tests.support.purging import STATEMENTS_OF_PURGE
from tests.support.report_calls import AT, LINE, STATEMENTS_OF_REPORTS
from tests.support.services import Services

FINES = 50_000
MANY_FINES = 5_000_000
# A linear plan is far below it; a quadratic one takes minutes.
STATEMENT_SECONDS_MAX = 20
MANY_SECONDS_MAX = 600
LATER = datetime(2100, 1, 1, tzinfo=UTC)
FINE_IDS = [f"F-{number}" for number in range(1, 2_001)]
ACTION_SUBJECT = f'{{"institution_id":"{INSTITUTION}","fine_id":"F-7"}}'
NO_PROFILE = (INSTITUTION, ["OVERDUEFINE"], ["USD"], [""], ["STUDENT"])
NONES, WAITING = [None] * 9, ("ERP", "W-7")
# A fine, a line and a payment.
NAMED = (*([INSTITUTION], ["F-7"]), *([INSTITUTION], [LINE]), *([INSTITUTION], ["ERP"], ["R-20"]))
PLACE = ("library.bursar-payment.v1", int(INSTITUTION), 7)


CALLS = (
    Call("reconcile", "balances_and_transactions", Reads.TABLES, (None, 1_000)),
    Call("reconcile", "balances_and_fines", Reads.TABLES, (None, 1_000)),
    Call("reconcile", "running_balances", Reads.TABLES, (None, 1_000)),
    Call("reconcile", "fines_and_transactions", Reads.TABLES, (None, 1_000)),
    Call("reconcile", "fines_and_transactions", Reads.TABLES, (INSTITUTION, 1_000)),
    Call("reconcile", "lines_and_payments", Reads.TABLES, (None, 1_000)),
    Call("reconcile", "lines_and_payments", Reads.TABLES, (INSTITUTION, 1_000)),
    Call("reconcile", "batches_and_lines", Reads.TABLES, (None, 1_000)),
    Call("reconcile", "totals_of_profiles", Reads.TABLES, (None,)),
    Call("reconcile", "totals_of_profiles", Reads.TABLES, (INSTITUTION,)),
    Call("reconcile", "totals_of_accounts", Reads.TABLES, (None,)),
    *STATEMENTS_OF_REPORTS,
    Call("erasure", "accounts_of_patron", Reads.KEY, (INSTITUTION, "P-7")),
    Call("erasure", "fines_of_patron", Reads.KEY, (INSTITUTION, "P-7")),
    Call("erasure", "erase_texts", Reads.KEY, (INSTITUTION, "P-7")),
    Call("erasure", "erase_texts_in_ledger", Reads.KEY, (INSTITUTION, "P-7", "Bursar")),
    Call("erasure", "erase_reasons_of_lines", Reads.KEY, (INSTITUTION, "P-7")),
    Call("erasure", "erase_fines", Reads.KEY, (INSTITUTION, ["F-20", "F-21"])),
    Call("erasure", "erase_patron", Reads.KEY, (INSTITUTION, "P-7")),
    Call("operators", "actions_on", Reads.KEY, (ACTION_SUBJECT,)),
    Call("operators", "parked", Reads.KEY, (*[None] * 9, 100, None)),
    Call("operators", "parked", Reads.QUEUE, (INSTITUTION, "unknown_fine", *[None] * 7, 100, None)),
    Call(
        "operators", "parked", Reads.QUEUE, (INSTITUTION, *NONES[:2], *WAITING, *NONES[:4], 9, None)
    ),
    Call("operators", "parked", Reads.QUEUE, (INSTITUTION, *[None] * 8, 9, "F-12")),
    Call("operators", "parked_errors", Reads.KEY, (*[None] * 5, 100)),
    Call("operators", "parked_overdue", Reads.QUEUE, (259_200,)),
    Call("operators", "rejected", Reads.QUEUE, (*[None] * 6, 100)),
    Call("operators", "rejected", Reads.QUEUE, (INSTITUTION, None, None, "open", None, None, 100)),
    Call("operators", "rejected_naming", Reads.TABLES, (INSTITUTION, [b"Y-7"], ["Y-7"])),
    Call("operators", "rejected_values", Reads.KEY, (*([part] for part in PLACE), ["overpaid"])),
    Call("operators", "rejected_record", Reads.KEY, (*PLACE, "unknown_line")),
    Call("operators", "rejected_open", Reads.QUEUE),
    Call("operators", "held", Reads.QUEUE, (INSTITUTION,)),
    Call("operators", "held_counted", Reads.QUEUE),
    Call("operators", "fine", Reads.KEY, (INSTITUTION, "F-7")),
    Call("operators", "causes_of_holding", Reads.KEY, ([INSTITUTION], ["F-51"], ["disputed"])),
    Call("no_profile", "institutions_with_open_fines", Reads.KEY),
    Call("no_profile", "open_groups", Reads.TABLES, (INSTITUTION,)),
    Call("no_profile", "fines_of_groups", Reads.TABLES, (*NO_PROFILE, None, 100)),
    Call("alike", "open_fines", Reads.TABLES, (INSTITUTION, 11)),
    Call("no_profile", "fines_of_groups", Reads.TABLES, (*NO_PROFILE, "P-7", 1_000_000)),
    Call("pause", "pauses", Reads.KEY),
    Call("pause", "is_paused", Reads.KEY, (INSTITUTION, "SIS")),
    Call("pause", "await_batch", Reads.KEY, (INSTITUTION, "SIS")),
    Call("operators", "known_words", Reads.PAGE, (5_000,)),
    Call("operators", "known_words", Reads.TABLES, (None,)),
    Call("upkeep", "fine_queues_to_retry", Reads.QUEUE, ("", "", 500)),
    Call("upkeep", "fine_queues_to_retry", Reads.QUEUE, (INSTITUTION, "F-7", 500)),
    Call("upkeep", "payment_queues_to_retry", Reads.QUEUE, ("", "", "", 500)),
    Call("upkeep", "sums_to_retry", Reads.QUEUE, (0, 500)),
    Call("upkeep", "parked_by_wait", Reads.QUEUE),
    Call("upkeep", "longest_parked_queue", Reads.QUEUE),
    Call("upkeep", "take_turn", Reads.KEY, ("reconcile", 86_400)),
    Call("upkeep", "hold_turn", Reads.KEY, ("reconcile",)),
    Call("upkeep", "put_off_turn", Reads.KEY, ("reconcile", 86_400)),
    Call("upkeep", "keep_turn", Reads.KEY, ("reconcile",)),
    Call("upkeep", "end_turn", Reads.KEY, ("reconcile", 86_400, 0)),
    Call("upkeep", "last_turn", Reads.KEY, ("reconcile",)),
    Call("upkeep", "put_senders", Reads.KEY, ([INSTITUTION], ["fine-created.v1"], ["any"])),
    Call("upkeep", "silent_sources", Reads.QUEUE, (14, 1_000)),
    Call("upkeep", "last_runs", Reads.KEY, ([INSTITUTION], ["SIS"])),
    Call("upkeep", "unanswered_batches", Reads.TABLES, ([INSTITUTION], ["SIS"], 0, 1_000)),
    Call("sums", "read_payment_sum", Reads.KEY, ([INSTITUTION], ["SAP"], ["S-20"])),
    Call("sums", "waiting_sums", Reads.KEY, ([INSTITUTION], ["P-7"], ["USD"], 100)),
    Call("sums", "debits_of_accounts", Reads.KEY, ([INSTITUTION], ["P-7"], ["USD"])),
    Call("sums", "export_numbers_of_lines", Reads.KEY, ([INSTITUTION], [LINE])),
    Call(
        "sums",
        "write_payment_sum",
        Reads.KEY,
        ([INSTITUTION], ["SAP"], ["S-20"], ["oldest_first"], [9], [True], [None]),
    ),
    Call("tally", "tallies_wait", Reads.QUEUE, (["rejected"],)),
    Call("tally", "take_tallies", Reads.QUEUE, (["rejected"], 1_000)),
    Call("export", "profile_runs", Reads.KEY),
    Call("export", "delete_empty_runs", Reads.QUEUE, (INSTITUTION, "SIS", LATER, 200)),
    Call("export", "open_fines", Reads.PAGE, (INSTITUTION, "USD", "", "", 1_000)),
    Call("export", "open_fines_left", Reads.PAGE, (INSTITUTION, "USD", "", "", 10_000)),
    Call(
        "export",
        "open_fines_of_patrons",
        Reads.KEY,
        (INSTITUTION, "USD", "", "", ["P-7", "P-8"], ["F-7"], 1_000),
    ),
    Call("export", "created_later", Reads.PAGE, (INSTITUTION, FINE_IDS, AT)),
    Call("export", "next_numbers", Reads.KEY, (INSTITUTION, "SIS")),
    Call("export", "live_lines_of_fines", Reads.KEY, ([INSTITUTION], ["F-20"])),
    Call("ledger", "accounts_of_references", Reads.KEY, (*NAMED, *([] for _ in range(3)))),
    # Of an institution that had three batches when statistics were taken, one seems to be a third.
    Call("ledger", "accounts_of_references", Reads.TABLES, (*NAMED, [INSTITUTION], ["SIS"], [2])),
    Call("ledger", "credits_of_fines", Reads.KEY, ([INSTITUTION], ["F-20"])),
    Call("ledger", "credits_of_fines", Reads.PAGE, ([INSTITUTION] * len(FINE_IDS), FINE_IDS)),
    Call("export", "sealed_bytes", Reads.KEY, (INSTITUTION, "SIS", 2)),
    Call("ledger", "reversed_amounts", Reads.KEY, ([INSTITUTION], ["ERP"], ["R-200"])),
    Call("imports", "fines_of_lines", Reads.KEY, ([INSTITUTION], [LINE])),
    Call("imports", "known_payments", Reads.KEY, (INSTITUTION, "ERP", ["R-20"])),
    Call("imports", "reversible_payments", Reads.KEY, (INSTITUTION, "ERP", ["F-20", "F-30"])),
    Call("imports", "sources_of_file", Reads.KEY, (INSTITUTION, "ab" * 32)),
    Call("imports", "paid_at", Reads.KEY, (INSTITUTION, "ERP", "ab" * 32)),
    Call("imports", "sources", Reads.PAGE, (None,)),
    Call("imports", "sources", Reads.PAGE, (INSTITUTION,)),
    Call("imports", "lines_of_other_files", Reads.KEY, (INSTITUTION, "ab" * 32, ["F-20", "F-30"])),
    Call("imports", "outcomes", Reads.TABLES, (INSTITUTION, "ERP", "R-", "R-9")),
    Call("imports", "decided", Reads.TABLES, (INSTITUTION, "ERP", "R-", "R-9")),
    Call(
        "export", "fines_with_failed_changes", Reads.PAGE, (INSTITUTION, FINE_IDS, ["LIB"], ["C-7"])
    ),
    Call("operators", "failed_changes_of_fine", Reads.KEY, (INSTITUTION, "F-7")),
    Call("imports", "recorded_lines", Reads.KEY, ("import", [5, 6], [1, 2], INSTITUTION)),
    *STATEMENTS_OF_PURGE,
    *STATEMENTS_OF_AUDIT,
    *STATEMENTS_OF_ADOPTION,
    Call("outbox", "waiting", Reads.QUEUE),
    Call("outbox", "page", Reads.PAGE, (500, 8_388_608, [])),
)
BEFORE = {
    "audit": statements("audit")["by_key"],
    "retention": statements("retention")["by_index"],
}
WITHOUT_TABLES = {
    "patience",
    "by_index",
    "by_key",
    "by_any_way",
    "lock_files",
    "register",
    "clock",
}  # of the ledger


class Statistics(StrEnum):
    NONE = "none"
    FRESH = "fresh"
    STALE = "stale"  # of the time when the institution was new and had a few fines


@asynccontextmanager
async def ledger(
    services: Services, template: str, statistics: Statistics, fines: int
) -> AsyncIterator[Connection]:
    """A connection to a database of its own with so many fines of one institution."""
    name = f"bursar_plans_{uuid.uuid4().hex[:12]}"
    server = await asyncpg.connect(services.database_url)
    await server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        connection = await asyncpg.connect(with_database(services.database_url, name))
        try:
            await connection.execute("SET jit = off")  # as the service's sessions do
            if statistics is Statistics.STALE:
                await fill(connection, 1, 100)
                await connection.execute("ANALYZE")
                await fill(connection, 101, fines)
            else:
                await fill(connection, 1, fines)
            if statistics is Statistics.FRESH:
                await connection.execute("ANALYZE")
            yield connection
        finally:
            await connection.close()
    finally:
        await server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        await server.close()


@pytest.fixture(scope="module", params=Statistics)
async def large(
    request: pytest.FixtureRequest, services: Services, database_template: str
) -> AsyncIterator[Connection]:
    async with ledger(services, database_template, request.param, FINES) as connection:
        yield connection


async def too_much(connection: Connection, call: Call, fines: int, seconds: int) -> str | None:
    """What the statement read beyond its bound; None: nothing."""
    await connection.execute(f"SET statement_timeout = '{seconds}s'")
    place, bound = f"{call.file}.{call.name}", call.reads.rows_max(fines)
    try:
        rows = await rows_handled(
            connection,
            statements(call.file)[call.name],
            *call.arguments,
            before=BEFORE.get(call.file, ""),
        )
    except asyncpg.QueryCanceledError:
        return f"{place}: not done after {seconds} s"
    return None if rows <= bound else f"{place}: {rows} rows, more than {bound}"


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.file}.{call.name}")
async def test_a_statement_reads_no_more_than_its_tables_or_its_key(
    large: Connection, call: Call
) -> None:
    assert await too_much(large, call, FINES, STATEMENT_SECONDS_MAX) is None


@pytest.mark.parametrize(
    "call", [call for call in CALLS if call.file == "reconcile"], ids=lambda call: call.name
)
async def test_a_comparison_stays_linear_where_the_planner_cannot_hash(
    large: Connection, call: Call
) -> None:
    """From some size on it prefers to merge, which must not be on the institution alone."""
    await large.execute("SET enable_hashjoin = off")
    try:
        assert await too_much(large, call, FINES, STATEMENT_SECONDS_MAX) is None
    finally:
        await large.execute("RESET enable_hashjoin")


async def test_held_fines_are_looked_up_by_their_keys(large: Connection) -> None:
    """An index with another column before the fine would be read from end to end for each of them,
    which no count of rows shows.
    """
    used = await indexes_of(large, statements("operators")["held_counted"], "fine")
    assert used == {"fine_held", "fine_pkey"}


@pytest.mark.slow
@pytest.mark.parametrize("statistics", Statistics)
async def test_five_million_fines_are_read_as_fifty_thousand_are(
    services: Services, database_template: str, statistics: Statistics
) -> None:
    async with ledger(services, database_template, statistics, MANY_FINES) as connection:
        result = [await too_much(connection, call, MANY_FINES, MANY_SECONDS_MAX) for call in CALLS]
    assert [problem for problem in result if problem is not None] == []


async def test_the_accounts_of_the_large_ledger_agree(large: Connection) -> None:
    """Else the statements would stop at their limit and read less than of a sound ledger."""
    listing = [
        call for call in CALLS if call.file == "reconcile" and not call.name.startswith("totals_")
    ]
    assert listing
    for call in listing:
        rows = await large.fetch(statements(call.file)[call.name], *call.arguments)
        assert rows == [], call.name


@pytest.mark.parametrize(
    "file",
    "reconcile reports upkeep imports erasure no_profile alike sums retention"
    " audit adopted".split(),
)
def test_every_statement_of_these_files_is_looked_at(file: str) -> None:
    called = {call.name for call in CALLS if call.file == file}
    assert set(statements(file)) - called - WITHOUT_TABLES == set()
