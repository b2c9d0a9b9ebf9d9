"""A batch does not read a fine again whose row nobody has written since the plan has read it."""

from __future__ import annotations

from service.core.ledger import FineKey
from service.database.ledger_read import LedgerReader
from service.database.references import FineVersion
from service.export import store as export_store
from service.messages.decode import parse
from tests.support.exports import fines, only, profiles_with
from tests.support.write_path import WritePath, change

STORE = LedgerReader(parse)


async def test_a_fine_that_was_written_or_amended_since_is_read_again(path: WritePath) -> None:
    await path.take(*fines(4, amount="10.00"))
    versions = await fine_versions(path)
    await path.take(change(fine_id="F-00000", kind="paid", amount="4.00"))
    # An amendment is a row of its own.
    await path.pool.execute(
        "INSERT INTO fine_amendment (institution_id, fine_id, disputed_at)"
        " SELECT institution_id, fine_id, now() FROM fine WHERE fine_id = 'F-00001'"
    )
    await path.pool.execute("UPDATE fine SET released = released WHERE fine_id = 'F-00002'")
    async with path.pool.acquire() as connection:
        unchanged = await STORE.unchanged_fines(connection, versions)
    ((key, fine),) = unchanged.items()
    assert key.fine_id == "F-00003"
    assert fine is versions[key].fine


async def test_a_fine_whose_writer_gave_up_is_unchanged(path: WritePath) -> None:
    await path.take(*fines(1))
    versions = await fine_versions(path)
    async with path.pool.acquire() as connection:
        given_up = connection.transaction()
        await given_up.start()
        await connection.execute("UPDATE fine SET released = NOT released")
        await given_up.rollback()
        assert (await STORE.unchanged_fines(connection, versions)).keys() == versions.keys()


async def test_an_amended_fine_is_always_read_again(path: WritePath) -> None:
    await path.take(*fines(1, amount="10.00"))
    await path.take(change(fine_id="F-00000", kind="adjusted", amount="4.00"))
    assert await fine_versions(path) == {}


async def fine_versions(path: WritePath) -> dict[FineKey, FineVersion]:
    """The open fines as a plan sees them, in a transaction of its own."""
    versions: dict[FineKey, FineVersion] = {}
    profile = only(profiles_with())
    async with path.pool.acquire() as connection:
        await export_store.open_fines(connection, STORE, profile, ("", ""), 10, versions=versions)
    return versions
