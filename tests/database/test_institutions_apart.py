"""No key of the ledger joins two institutions: each of them could have a database of its own."""

from __future__ import annotations

from tests.support.write_path import WritePath

UNIQUE_KEYS = """
SELECT
    class.relname AS name,
    array(
        SELECT attname::text FROM pg_attribute
        WHERE attrelid = class.oid AND attnum = any(index.indkey)
    ) AS columns
FROM pg_index AS index
INNER JOIN pg_class AS class ON index.indrelid = class.oid
WHERE
    index.indisunique
    AND class.relnamespace = 'public'::regnamespace
    AND EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = class.oid AND attname = 'institution_id'
    )
"""
FOREIGN_KEYS = """
SELECT conrelid::regclass::text AS name, pg_get_constraintdef(oid) AS definition
FROM pg_constraint
WHERE contype = 'f' AND connamespace = 'public'::regnamespace
"""
# Tables about records and persons' actions, whose institution may be unknown.
NOT_OF_THE_LEDGER = {
    "rejected": "the place of a record in Kafka",
    "parked_error": "the place of a record in Kafka",
    "stopped_record": "numbered as they come",
    "operator_action": "numbered as they come",
    "recovery_decision": "the id of an event that was published",
}
OF_A_RECOVERY = {"adopted_batch", "recovery_account", "recovery_decision"}


async def test_every_unique_key_of_the_ledger_has_the_institution(path: WritePath) -> None:
    keys = await path.pool.fetch(UNIQUE_KEYS)
    without = {row["name"] for row in keys if "institution_id" not in row["columns"]}
    assert without == NOT_OF_THE_LEDGER.keys()
    assert {"account", "fine", "payment", "export_line"} <= {row["name"] for row in keys}


async def test_every_reference_of_the_ledger_stays_in_the_institution(path: WritePath) -> None:
    references = await path.pool.fetch(FOREIGN_KEYS)
    elsewhere = {
        row["name"]
        for row in references
        if not row["definition"].startswith("FOREIGN KEY (institution_id, ")
    }
    assert elsewhere == OF_A_RECOVERY
