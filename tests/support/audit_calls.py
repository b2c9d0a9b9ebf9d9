"""The statements of `bursar-bridge audit`, each with what it may read."""

from __future__ import annotations

from tests.support.large_ledger import INSTITUTION
from tests.support.plans import Call, Reads

PLACE = ("library.bursar-payment.v1", int(INSTITUTION), 7)
STATEMENTS_OF_AUDIT = (
    Call("audit", "recorded_counts", Reads.TABLES),
    Call("audit", "lost_times", Reads.TABLES),
    Call("audit", "transactions_of_keys", Reads.KEY, ([0], [INSTITUTION], ["P-7"], ["USD"], [1])),
    Call("audit", "batches_of_keys", Reads.PAGE, ([0], [INSTITUTION], ["SIS"], [2])),
    Call("audit", "loans_of_keys", Reads.KEY, ([0], [INSTITUTION], ["L-7"])),
    Call("audit", "rejections_of_keys", Reads.KEY, ([0], *([each] for each in PLACE), ["x"])),
    Call("audit", "actions_of_keys", Reads.KEY, ([0], [7])),
    Call("audit", "all_transactions", Reads.TABLES),
    Call("audit", "all_batches", Reads.TABLES),
    Call("audit", "all_loans", Reads.TABLES),
    Call("audit", "all_rejections", Reads.TABLES),
    Call("audit", "all_actions", Reads.TABLES),
    Call("audit", "differing_accounts", Reads.TABLES, (1_000,)),
    Call("audit", "waiting_after", Reads.QUEUE, ("library.balance-changed.v1", 0)),
    Call("audit", "quarantined_after", Reads.QUEUE, ("library.balance-changed.v1", 0, -1)),
)
