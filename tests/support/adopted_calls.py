"""The statements on lines that wait for their fines after a restore, each with what it may read."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.support.large_ledger import INSTITUTION
from tests.support.plans import Call, Reads

LINE, FINE = "1000000000000022", "F-22"
AT = datetime(2026, 2, 1, tzinfo=UTC)
KEYS = ([INSTITUTION], [FINE], [INSTITUTION], [LINE])
BATCH = ([INSTITUTION], ["LOST"], [1])
OF_ACCOUNT = ([INSTITUTION], ["P-7"], ["USD"])
CREDITED = ([INSTITUTION], [FINE])
MANY_FINES = [f"F-{number}" for number in range(1, 2_001)]
CREDITS = (MANY_FINES, [f"P-{number % 500}" for number in range(2_000)], ["USD"] * 2_000)
STATEMENTS_OF_ADOPTION = (
    Call("adopted", "lock_waiting_lines", Reads.KEY, (*KEYS, [], [], [])),
    Call("adopted", "lock_waiting_lines", Reads.PAGE, (*KEYS, *BATCH)),
    Call("adopted", "waiting_lines", Reads.KEY, (*KEYS, [], [], [], *OF_ACCOUNT, *CREDITED)),
    Call("adopted", "waiting_lines", Reads.PAGE, (*KEYS, *BATCH, *OF_ACCOUNT, *CREDITED)),
    Call("adopted", "waiting_lines_named", Reads.KEY, ([INSTITUTION], [LINE])),
    Call(
        "adopted",
        "write_adopted_line",
        Reads.KEY,
        ([INSTITUTION], [LINE], ["waiting"], ["no such student"], [AT]),
    ),
    Call("adopted", "fines_with_adopted_lines", Reads.PAGE, (INSTITUTION, MANY_FINES, *CREDITS)),
    Call("adopted", "known_fines_with_lines", Reads.QUEUE, (0, "", -1, 500)),
    Call("adopted", "known_fines_with_lines", Reads.QUEUE, (100_000_000_000_002, "", -1, 500)),
    Call("adopted", "doubtful_credits", Reads.TABLES),
    Call("adopted", "let_credits_wait", Reads.KEY, CREDITED),
    Call("adopted", "waiting_lines_listed", Reads.TABLES, (*[None] * 5, 1_000)),
    Call("adopted", "waiting_lines_listed", Reads.TABLES, (*[None] * 5, 1_000_000)),
    Call("adopted", "waiting_lines_listed", Reads.KEY, (INSTITUTION, *[None] * 2, FINE, None, 9)),
    Call("adopted", "waiting_lines_counted", Reads.QUEUE),
    Call("adopted", "recovery_is_open", Reads.KEY),
    Call(
        "recovery",
        "put_loans",
        Reads.KEY,
        ([INSTITUTION], ["P-7"], ["L-22"], [FINE], [1], [AT]),
    ),
)
