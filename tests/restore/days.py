"""Days that are lost with a database: two institutions, three profiles, and all that can happen to
a fine before and after its export.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.restore.variants import World
from tests.support import inputs
from tests.support.inputs import ABSENT
from tests.support.installation import institution, profile
from tests.support.restoring import LOST
from tests.support.restoring import fine as fine_numbered
from tests.support.write_path import member_of

OTHER = "6051"
LATE_FEE = "LATE_FEE"
FINES = ["OVERDUEFINE", LOST]
PROFILES = (
    institution()
    + profile(fine_types=FINES, close_paid_lost_loan=True, refused_lines="retry")
    + profile("fees", fine_types=[LATE_FEE], mode="export_only")
    + institution(OTHER)
    + profile("other", institution=OTHER, fine_types=FINES)
)
WHY = "no such student"
ITEM = "L-item"  # the loan of two fines


def fine(name: str, kind: str = "OVERDUEFINE", home: str = "6050") -> Mapping[str, object]:
    """A fine of a patron of its own, who has the same ids in both institutions."""
    made = fine_numbered(1, kind)
    patron = {**member_of(made, "patron"), "patron_id": f"P-{name}"}
    return {
        **made,
        "institution_id": home,
        "fine_id": f"F-{name}",
        "loan_id": f"L-{name}",
        "patron": patron,
    }


def lost_item(name: str) -> Mapping[str, object]:
    """One of several fines for the same lost item, and so for the same loan."""
    patron = member_of(fine("item"), "patron")
    return {**fine(name, LOST), "loan_id": ITEM, "patron": patron}


def change(name: str, kind: str, amount: object = ABSENT, number: int = 1) -> Mapping[str, object]:
    currency = ABSENT if amount is ABSENT else "USD"
    return inputs.fine_changed(
        fine_id=f"F-{name}",
        change_id=f"C-{name}-{number}",
        kind=kind,
        amount=amount,
        currency=currency,
        changed_at=f"2026-09-0{number + 1}T10:00:00Z",
    )


def paid(name: str, amount: str = "95.50", **others: object) -> Mapping[str, object]:
    return inputs.bursar_payment(
        **{
            "fine_id": f"F-{name}",
            "payment_id": f"PAY-{name}-{amount}",
            "amount": amount,
            **others,
        }
    )


async def line_of(world: World, name: str, home: str = "6050") -> str:
    """The bursar transaction id under which a fine was exported last."""
    rows = await world.site.rows(
        "SELECT bursar_transaction_id FROM export_line WHERE (institution_id, fine_id) = ($1, $2)"
        " ORDER BY bursar_transaction_id DESC LIMIT 1",
        home,
        f"F-{name}",
    )
    return str(rows[0]["bursar_transaction_id"])


async def answer_against(world: World, name: str, batch: int = 1) -> Mapping[str, object]:
    """The answer that refuses the line of a fine."""
    line = await line_of(world, name)
    return inputs.export_response(
        response_id=f"R-{name}-{batch}",
        batch_number=batch,
        outcome="partial",
        refused_lines=[{"bursar_transaction_id": line, "reason": WHY}],
    )


async def export_all(world: World) -> None:
    await world.idle()
    await world.site.command("export", "run", "--all")
    await world.idle()


async def before_the_backup(world: World) -> None:
    """Fines that the lost day changes in every way, in both institutions."""
    names = ("paid", "waived", "adjusted", "disputed", "back", "desk", "early", "whole")
    world.send("fine-created.v1", *map(fine, names))
    world.send("fine-created.v1", fine("whole", home=OTHER), fine("fee", LATE_FEE))
    world.send("fine-created.v1", lost_item("item-2"))


async def a_day_of_changes_and_answers(world: World) -> None:
    """Fines are paid in part, waived in part, adjusted and disputed, and then exported by three
    profiles; what follows comes in an order that counts.
    """
    # Read again, this makes the fine as it was exported before the other one of its loan is known,
    # which is the one that has closed the loan.
    world.send("fine-changed.v1", change("item-2", "paid", "10.00"))
    await world.idle()
    world.send("fine-created.v1", lost_item("item-1"))
    world.send("fine-created.v1", fine("new"), fine("lost", LOST), fine("gone", LOST, OTHER))
    world.send("fine-created.v1", fine("more", LATE_FEE), fine("new", home=OTHER))
    world.send(
        "fine-changed.v1",
        change("paid", "paid", "10.00"),
        change("waived", "waived", "20.25"),
        change("adjusted", "adjusted", "120.00"),
        change("disputed", "disputed"),
        change("back", "disputed"),
        change("back", "restored", number=2),
    )
    await export_all(world)
    world.send("bursar-payment.v1", paid("early", "15.00"), paid("whole"), paid("paid", "85.50"))
    world.send("bursar-payment.v1", paid("whole", institution_id=OTHER))
    await world.idle()
    # The office refuses a line; then the patron pays that fine at the desk, and another one's is
    # refused and exported once more.
    world.send(
        "export-response.v1",
        await answer_against(world, "desk"),
        await answer_against(world, "back"),
    )
    await world.idle()
    world.send("fine-changed.v1", change("desk", "paid", "95.50", number=3))
    # What was paid cannot be refused.
    world.send("export-response.v1", await answer_against(world, "whole"))
    await export_all(world)
    assert await line_of(world, "back") != await line_of(world, "desk")


async def a_lost_day(world: World) -> None:
    """The backup has the fines alone, and the day is lost."""
    world.site.write_profiles(PROFILES)

    async def first() -> None:
        await before_the_backup(world)

    async def second() -> None:
        await a_day_of_changes_and_answers(world)

    await world.works(first)
    backup = await world.backups.take()
    await world.works(second)
    await world.backups.put_back(backup)


async def meanwhile(world: World, lines: Mapping[str, str]) -> None:
    """What the bursar sends about lines that the restored database has not adopted yet: payments by
    the line's own id and by the fine, a write-off, and a refusal.
    """
    world.send(
        "bursar-payment.v1",
        paid("new", fine_id=ABSENT, bursar_transaction_id=lines["new"]),
        paid("adjusted", "70.00"),
        paid("waived", "5.25", kind="write_off"),
    )
    named = [{"bursar_transaction_id": lines["early"], "reason": WHY}]
    second = inputs.export_response(
        response_id="R-late", outcome="partial", batch_number=1, refused_lines=named
    )
    whole = inputs.export_response(
        response_id="R-fees", profile="fees", outcome="refused", reason=WHY
    )
    world.send("export-response.v1", second, whole)
