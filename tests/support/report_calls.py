"""The statements of the reports, each with what it may read."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.support.large_ledger import INSTITUTION
from tests.support.plans import Call, Reads

AT = datetime(2026, 3, 1, tzinfo=UTC)
LINE = "1000000000000020"
STATEMENTS_OF_REPORTS = (
    Call("reports", "balances_now", Reads.KEY, (INSTITUTION, "P-7", None)),
    Call("reports", "balances_recorded", Reads.KEY, (INSTITUTION, "P-7", None, AT)),
    Call("reports", "balances_effective", Reads.KEY, (INSTITUTION, "P-7", None, AT)),
    Call("reports", "transactions_of_patron", Reads.KEY, (INSTITUTION, "P-7")),
    Call("reports", "transactions_of_fines", Reads.KEY, (INSTITUTION, ["F-20", "F-21"])),
    Call("reports", "credits_of_fine", Reads.KEY, (INSTITUTION, "F-20")),
    Call("reports", "fines_of_sum", Reads.KEY, (INSTITUTION, "SAP", "S-20")),
    Call("reports", "parked_sums_of_patron", Reads.KEY, (INSTITUTION, "P-7")),
    Call("reports", "fines", Reads.KEY, (INSTITUTION, ["F-20", "F-21"])),
    Call("reports", "responses_of_lines", Reads.KEY, (INSTITUTION, [LINE])),
    Call("reports", "parked_for_fines", Reads.KEY, (INSTITUTION, ["F-20", "F-12"])),
    Call("reports", "rejected_payments_of_fines", Reads.KEY, (INSTITUTION, ["F-20", "F-21"])),
    Call("reports", "actions_on_fines", Reads.KEY, (INSTITUTION, ["F-20", "F-21"])),
    Call("reports", "batches", Reads.QUEUE, (None, None, None, None, 100)),
    Call("reports", "batches", Reads.QUEUE, (INSTITUTION, "SIS", None, 3, 1)),
    Call("reports", "owners_of_batch", Reads.KEY, ("SIS", 2)),
    Call("reports", "lines_of_batch", Reads.TABLES, (INSTITUTION, "SIS", 2)),
    Call("reports", "responses_of_batch", Reads.KEY, (INSTITUTION, "SIS", 2)),
    Call("reports", "payment", Reads.KEY, (INSTITUTION, "ERP", "R-20")),
    Call("reports", "payments_since", Reads.PAGE, (None, None, AT, 1_000)),
    Call("reports", "payments_since", Reads.PAGE, (INSTITUTION, "ERP", AT, 1_000)),
    Call("reports", "fine_and_batch_of_line", Reads.KEY, (INSTITUTION, LINE)),
    Call("reports", "fine_of_change", Reads.KEY, (INSTITUTION, "ALMA", "C-1")),
    Call("reports", "batches_of_fine", Reads.KEY, (INSTITUTION, "F-20")),
)
