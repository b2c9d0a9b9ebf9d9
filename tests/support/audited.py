"""Ledgers for the auditor: what was read, as if it stood in topics, and what was written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tests.auditor import evidence
from tests.auditor.evidence import Evidence
from tests.auditor.sources import Connection, read_tables
from tests.support.inputs import ABSENT
from tests.support.mixture import PROFILES, Exported, first_fines, mixture
from tests.support.write_path import PREFIX, Record, WritePath, payment, reversal

FINES = 60
RECORDS = 260
POLL_RECORDS = 40


class AuditedLedger:
    """A ledger and all records that were read for it; its outputs wait in the outbox."""

    def __init__(self, path: WritePath) -> None:
        self.path = path
        self._taken: dict[str, list[Record]] = defaultdict(list)

    async def take(self, records: Sequence[Record]) -> None:
        """Takes the records in polls, and then what they have set free."""
        await self.path.take_in_polls(records, POLL_RECORDS)
        for record in records:
            self._taken[record.contract].append(record)
        await self.path.sweep()

    async def exported(self) -> Exported:
        """What was exported up to now."""
        lines = await self.path.rows("SELECT bursar_transaction_id FROM export_line ORDER BY 1")
        batches = await self.path.rows(
            "SELECT profile, batch_number FROM export_batch ORDER BY 1, 2"
        )
        return Exported(
            [str(row["bursar_transaction_id"]) for row in lines],
            [(str(row["profile"]), int(str(row["batch_number"]))) for row in batches],
        )

    async def evidence(self, connection: Connection) -> Evidence:
        """What the auditor would read of it by the connection."""
        return self.topics().with_tables(await read_tables(connection))

    def topics(self) -> Evidence:
        """The records that were taken; the output topics are empty."""
        records = {
            contract: [
                evidence.Record(PREFIX + contract, 0, offset, each.key, each.value, each.headers)
                for offset, each in enumerate(self._taken[contract])
            ]
            for contract in (*evidence.INPUTS, *evidence.OUTPUTS)
        }
        ends = {(PREFIX + name, 0): len(records[name]) for name in evidence.INPUTS}
        return Evidence(PREFIX, records, dict.fromkeys(ends, 0), ends)


async def mixed_ledger(path: WritePath, seed: int, records: int = RECORDS) -> AuditedLedger:
    """A ledger with two rounds of exports, each followed by records of every contract."""
    ledger = AuditedLedger(path)
    await ledger.take(first_fines(FINES))
    for turn in range(2):
        await path.export(PROFILES)
        exported = await ledger.exported()
        await ledger.take(mixture(seed + 1_000 * turn, records // 2, FINES, exported))
    await ledger.take(await _paid_and_reversed(path))
    return ledger


async def _paid_and_reversed(path: WritePath) -> list[Record]:
    """A payment of each exported line, most of which are too much, and reversals of some."""
    lines = await path.rows(
        "SELECT bursar_transaction_id AS line, currency FROM export_line ORDER BY 1"
    )
    records = []
    for number, row in enumerate(lines):
        reference = {"fine_id": ABSENT, "bursar_transaction_id": row["line"]}
        amount, currency = ("95", "1")[number % 2], row["currency"]
        paid = {**reference, "amount": amount, "currency": currency}
        records.append(payment(payment_id=f"X-{number}", **paid))
        if number % 3 != 2:
            records.append(reversal(f"X-{number}-BACK", f"X-{number}"))
    return records
