"""Money that was credited before a restore is not credited again (rules.md, 5)."""

from __future__ import annotations

from datetime import UTC, datetime

from service.export.manifest import Manifest
from service.export.profiles.profile import NO_PROFILES
from service.export.selection import Exclusion
from service.operations import held
from service.operations.recovery import EndRecovery
from tests.database.test_adopted_lines import PROFILES, lose
from tests.support.adopting import adopt, end_recovery
from tests.support.exports import only, patron, profiles_with
from tests.support.write_path import PREFIX, Record, WritePath, change, fine


def credit(name: str, amount: str, number: int) -> Record:
    """A credit of a patron, for the same loan each time."""
    return fine(fine_id=name, amount=amount, patron=patron(number), type="CREDIT", loan_id="L-2")


SAME_MONEY = (credit("C-2", "-4.50", 1), credit("C-3", "-0.50", 1))
OTHERS = credit("C-4", "-0.50", 4)


async def exported(restored: WritePath) -> set[str]:
    """The credits that the next run takes."""
    manifests: list[Manifest] = []
    await restored.exports(PROFILES).run_profile(only(PROFILES), manifests.append)
    fines = {line.fine_id for manifest in manifests for line in manifest.lines}
    return fines & {"C-2", "C-3", "C-4"}


async def test_what_was_credited_before_is_not_credited_again_in_another_credit(
    path: WritePath, restored: WritePath
) -> None:
    """The same money is in two credits now."""
    await lose(path, restored)
    await adopt(path, restored)
    await end_recovery(restored)
    await restored.take(*SAME_MONEY, OTHERS)
    assert await exported(restored) == {"C-4"}
    async with restored.pool.acquire() as connection:
        listed = await held.find(connection, restored.applier.store, PROFILES)
    waiting = {each.fine.facts.fine_id for each in listed if each.reason is Exclusion.ADOPTED_LINE}
    assert waiting >= {"C-2", "C-3"}


async def test_nor_if_no_event_tells_whose_credit_it_was(
    path: WritePath, restored: WritePath
) -> None:
    """The database was lost after it had published the batch, and before its events."""
    await lose(path, restored)
    await adopt(path, restored)
    await restored.pool.execute("UPDATE adopted_line SET patron_id = NULL")
    await end_recovery(restored)
    await restored.take(SAME_MONEY[1], OTHERS)
    assert await exported(restored) == set(), "it may be anybody's"
    await restored.take(SAME_MONEY[0])  # the credit of the line, with another amount
    assert await exported(restored) == {"C-4"}


CREDITING = profiles_with(credits={"included": True}, library_payments="credit")


def paid(fine_id: str, number: int, amount: str, changed_at: str) -> Record:
    return change(
        fine_id=fine_id, change_id=f"C-{number}", kind="paid", amount=amount, changed_at=changed_at
    )


async def test_what_was_paid_before_the_export_is_not_credited_by_itself(
    path: WritePath, restored: WritePath
) -> None:
    """It was paid in part and adjusted by as much, so that the fine meets its line before both.
    What was paid after the export of another fine is credited as always.
    """
    before = (
        fine(fine_id="F-1", patron=patron(1)),
        fine(fine_id="F-2", patron=patron(2)),
        paid("F-1", 1, "30.00", "2026-09-01T10:00:00Z"),
        change(
            fine_id="F-1",
            change_id="C-2",
            kind="adjusted",
            amount="125.50",
            changed_at="2026-09-02T10:00:00Z",
        ),
    )
    await path.take(*before)
    await path.exports(CREDITING).run_profile(only(CREDITING))
    after = paid("F-2", 3, "20.00", datetime.now(UTC).isoformat())
    await path.take(after)
    assert await adopt(path, restored) == 2
    await restored.take(*before, after)
    await EndRecovery(restored.applier, NO_PROFILES, f"{PREFIX}export-batch.v1").run_once()
    manifests: list[Manifest] = []
    await restored.exports(CREDITING).run_profile(only(CREDITING), manifests.append)
    assert [(each.count, each.total) for each in manifests] == [(1, -20_00)]
    async with restored.pool.acquire() as connection:
        listed = await held.find(connection, restored.applier.store, CREDITING)
    assert [(each.fine.facts.credit_of, each.fine.remaining, each.reason) for each in listed] == [
        ("F-1", -30_00, Exclusion.CREDIT_UNCONFIRMED)
    ]
