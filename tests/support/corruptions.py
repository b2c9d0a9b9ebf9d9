"""Ways in which a ledger or what it published can be damaged, one fault at a time.

Each is applied in a transaction that is rolled back. `invariant` is the one that the auditor has to
name, `kind` what `bursar-bridge audit` has to find; None where it cannot, with the reason in
`why_not_detected`: the fault is in what is not published.
"""

from __future__ import annotations

from typing import NamedTuple

from service.operations.audit_findings import Kind
from tests.support.damage import (
    OTHER_INSTITUTION,
    Apply,
    by,
    cut,
    delete,
    first,
    gone,
    in_outbox,
    of_another,
    raised,
    update,
)


class Corruption(NamedTuple):
    """A fault; `apply` damages and returns the id that a finding has to name."""

    name: str
    invariant: str
    kind: Kind | None
    apply: Apply
    why_not_detected: str = ""


LEDGER, BY_ACCOUNT = "ledger_transaction", "patron_id, currency, sequence"
BATCH, BY_PROFILE = "export_batch", "profile, batch_number DESC"
LINE, BY_LINE = "export_line", "bursar_transaction_id"
LAST_OF_ITS_ACCOUNT = (
    "(institution_id, patron_id, currency, sequence) IN"
    " (SELECT institution_id, patron_id, currency, sequence FROM account WHERE sequence > 3)"
)

WITHOUT_LIVE_LINE = (
    "state = 'refused' AND fine_id NOT IN (SELECT fine_id FROM fine WHERE line IS NOT NULL)"
)
CORRUPTIONS = (
    Corruption(
        "changed amount",
        "I2",
        Kind.DIFFERENT,
        update(LEDGER, "amount = amount + 1", "kind = 'payment'", BY_ACCOUNT),
    ),
    Corruption(
        "changed effect",
        "I2",
        Kind.DIFFERENT,
        update(LEDGER, "active_change = active_change - 1", "kind = 'waiver'", BY_ACCOUNT),
    ),
    Corruption(
        "lost transaction",
        "I2",
        Kind.NOT_RECORDED,
        delete(LEDGER, "sequence = 2", BY_ACCOUNT),
    ),
    Corruption(
        "gap in the sequence",
        "I2",
        Kind.NOT_RECORDED,
        update(LEDGER, "sequence = sequence + 1", LAST_OF_ITS_ACCOUNT, BY_ACCOUNT),
    ),
    Corruption(
        "payment that was applied twice",
        "I2",
        Kind.NOT_PUBLISHED,
        by(
            "INSERT INTO ledger_transaction SELECT (jsonb_populate_record(t, jsonb_build_object("
            "'sequence', a.sequence + 1, 'transaction_id', 'again'))).*"
            " FROM ledger_transaction AS t JOIN account AS a USING"
            " (institution_id, patron_id, currency) WHERE t.kind = 'payment'"
            " ORDER BY t.patron_id, t.sequence LIMIT 1 RETURNING patron_id"
        ),
    ),
    Corruption(
        "balance off by one",
        "I2",
        Kind.ACCOUNT_DIFFERS,
        update("account", "active = active + 1", "sequence > 0", "patron_id"),
    ),
    Corruption(
        "lost fine",
        "I1",
        None,
        delete("fine", "TRUE", "fine_id"),
        "the row of a fine is not published; its transactions are there",
    ),
    Corruption(
        "changed fine",
        "I2",
        None,
        update("fine", "outstanding = outstanding - 1", "outstanding > 1", "fine_id"),
        "the row of a fine is not published; `reconcile` compares it with its transactions",
    ),
    Corruption(
        "lost payment",
        "I1",
        None,
        delete("payment", "state = 'applied'", "payment_id"),
        "the row of a payment is not published; its transactions are there",
    ),
    Corruption(
        "lost change",
        "I1",
        None,
        delete("fine_change", "TRUE", "change_id"),
        "the row of a change is not published; its transactions are there",
    ),
    Corruption(
        "offset skipped",
        "I3",
        None,
        update("consumer_offset", "next_offset = next_offset + 1", "TRUE", "topic"),
        "offsets of input topics are not published",
    ),
    Corruption(
        "record that was not read",
        "I3",
        None,
        update("consumer_offset", "next_offset = next_offset - 1", "TRUE", "topic"),
        "offsets of input topics are not published",
    ),
    Corruption(
        "lost rejection",
        "I3",
        Kind.NOT_RECORDED,
        delete("rejected", "reason = 'invalid_json'", "topic, record_offset"),
    ),
    Corruption(
        "changed bytes of a rejected record",
        "I3",
        Kind.DIFFERENT,
        update(
            "rejected",
            "record_value = '\\x00'::bytea || record_value",
            "TRUE",
            "topic, record_offset",
        ),
    ),
    Corruption(
        "lost parked record",
        "I3",
        None,
        delete("parked", "TRUE", "id"),
        "what waits is not published",
    ),
    Corruption(
        "changed event",
        "I4",
        Kind.DIFFERENT,
        in_outbox("balance-changed.v1", raised),
    ),
    Corruption(
        "repeat with another content",
        "I4",
        Kind.DIFFERENT,
        in_outbox("balance-changed.v1", raised, copies=True),
    ),
    Corruption(
        "lost event",
        "I4",
        Kind.NOT_PUBLISHED,
        in_outbox("balance-changed.v1", gone),
    ),
    Corruption(
        "event under the key of another institution",
        "I6",
        Kind.DIFFERENT,
        in_outbox("balance-changed.v1", of_another),
    ),
    Corruption(
        "transaction of another institution",
        "I6",
        Kind.NOT_RECORDED,
        update(LEDGER, f"institution_id = '{OTHER_INSTITUTION}'", "sequence = 2", BY_ACCOUNT),
    ),
    Corruption(
        "doubled line",
        "I5",
        Kind.DIFFERENT,
        by(
            "INSERT INTO export_line SELECT (jsonb_populate_record(t, jsonb_build_object("
            "'bursar_transaction_id', '99999999999', 'state', 'refused'))).*"
            " FROM export_line AS t ORDER BY bursar_transaction_id LIMIT 1 RETURNING profile"
        ),
    ),
    Corruption(
        "changed line",
        "I5",
        Kind.DIFFERENT,
        by(
            "UPDATE export_line SET amount = amount + 1"
            f" WHERE {first(LINE, 'amount > 0', BY_LINE)} RETURNING profile"
        ),
    ),
    Corruption(
        "swapped bytes of a batch",
        "I5",
        Kind.DIFFERENT,
        update(
            BATCH,
            "document = (SELECT other.document FROM export_batch AS other"
            " WHERE other.profile <> export_batch.profile LIMIT 1)",
            "fine_count > 0",
            BY_PROFILE,
        ),
    ),
    Corruption(
        "changed bytes of a published batch",
        "I5",
        Kind.DIFFERENT,
        in_outbox("export-batch.v1", cut),
    ),
    Corruption(
        "batch that was not published",
        "I5",
        Kind.NOT_PUBLISHED,
        in_outbox("export-batch.v1", gone),
    ),
    Corruption(
        "chain broken",
        "I5",
        Kind.DIFFERENT,
        update(BATCH, "previous_sha256 = sha256", "batch_number > 1", BY_PROFILE),
    ),
    Corruption(
        "changed total of a batch",
        "I5",
        Kind.DIFFERENT,
        update(BATCH, "total = total + 1", "fine_count > 0", BY_PROFILE),
    ),
    Corruption(
        "gap in the batch numbers",
        "I5",
        Kind.NOT_RECORDED,
        update(BATCH, "batch_number = batch_number + 7", "batch_number > 1", BY_PROFILE),
    ),
    Corruption(
        "refused line that is still live",
        "I5",
        Kind.DIFFERENT,
        by(
            "UPDATE export_line SET state = 'live', reason = NULL"
            f" WHERE {first(LINE, WITHOUT_LIVE_LINE, BY_LINE)} RETURNING fine_id"
        ),
    ),
    Corruption(
        "lost closing of a loan",
        "I10",
        Kind.NOT_RECORDED,
        delete("loan_closed", "TRUE", "loan_id"),
    ),
    Corruption(
        "closing of a loan that was not published",
        "I10",
        Kind.NOT_PUBLISHED,
        in_outbox("loan-closed.v1", gone),
    ),
)
