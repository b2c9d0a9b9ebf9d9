"""The story, step by step: what the outside does, and the same to the expected balances."""

from __future__ import annotations

from decimal import Decimal

from demo.scene import (
    FINES,
    LATE_FINE,
    MARKED_FINE,
    MARKED_FINE_BILLED,
    NORTH,
    SOUTH,
    College,
    fine_adjusted,
    fine_created,
    payment,
)
from demo.stage import Stage, Step


async def _created(stage: Stage) -> None:
    for fine in FINES:
        stage.expected.created(fine)
        await stage.publish("fine-created", fine_created(fine))


async def _exported_north(stage: Stage) -> None:
    await _export(stage, NORTH)


async def _exported_south(stage: Stage) -> None:
    await _export(stage, SOUTH)


async def _export(stage: Stage, college: College) -> None:
    stage.expected.exported(college)
    await stage.world.command("export", "run", "--profile", college.profile)


async def _paid_in_part(stage: Stage) -> None:
    await _pay(stage, "PAY-1", "F-2001", "15.00")


async def _paid_in_full(stage: Stage) -> None:
    await _pay(stage, "PAY-2", "F-2001", "25.00")


async def _overpaid(stage: Stage) -> None:
    await _pay(stage, "PAY-3", "F-2003", "35.50")


async def _pay(stage: Stage, payment_id: str, fine_id: str, amount: str) -> None:
    stage.expected.paid(fine_id, Decimal(amount))
    bursar_id = stage.outputs.bursar_transaction_id_of(fine_id)
    event = payment(SOUTH, payment_id, amount, bursar_transaction_id=bursar_id)
    await stage.publish_structured("bursar-payment", event)


async def _repeated(stage: Stage) -> None:
    """As an ERP does that got no answer: the same payment under new message ids."""
    bursar_id = stage.outputs.bursar_transaction_id_of("F-2001")
    for _ in range(2):
        event = payment(SOUTH, "PAY-2", "25.00", bursar_transaction_id=bursar_id)
        await stage.publish_structured("bursar-payment", event)


async def _rejected(stage: Stage) -> None:
    await stage.publish_bytes("bursar-payment", b'{"not": "JSON"')
    money_as_number = payment(SOUTH, "PAY-4", "1.00", fine_id="F-2001") | {"amount": 1.0}
    await stage.publish("bursar-payment", money_as_number)
    mistyped = payment(SOUTH, "PAY-5", "10.00", bursar_transaction_id="10000000019")
    await stage.publish("bursar-payment", mistyped)
    only_exported = payment(NORTH, "PAY-6", "12.50", fine_id="F-1001")
    await stage.publish("bursar-payment", only_exported)


async def _paid_before_its_fine(stage: Stage) -> None:
    stage.expected.paid_early(LATE_FINE.fine_id, LATE_FINE.value)
    event = payment(SOUTH, "PAY-7", LATE_FINE.amount, fine_id=LATE_FINE.fine_id)
    await stage.publish("bursar-payment", event)


async def _its_fine_comes(stage: Stage) -> None:
    stage.expected.created(LATE_FINE)
    await stage.publish("fine-created", fine_created(LATE_FINE))


async def _its_title_has_marks(stage: Stage) -> None:
    """A record as it really comes: a catalogue's title, a registry's frame, no time."""
    stage.expected.created(MARKED_FINE)
    await stage.publish_framed("fine-created", fine_created(MARKED_FINE))


async def _adjusted(stage: Stage) -> None:
    stage.expected.adjusted(MARKED_FINE.fine_id, MARKED_FINE_BILLED)
    await stage.publish("fine-changed", fine_adjusted(MARKED_FINE, str(MARKED_FINE_BILLED)))


async def _paid_by_padded_id(stage: Stage) -> None:
    """The ERP has fields of a fixed width, and fills an id up with zeros."""
    stage.expected.paid(MARKED_FINE.fine_id, MARKED_FINE_BILLED)
    bursar_id = stage.outputs.bursar_transaction_id_of(MARKED_FINE.fine_id).zfill(20)
    event = payment(SOUTH, "PAY-8", str(MARKED_FINE_BILLED), bursar_transaction_id=bursar_id)
    await stage.publish_structured("bursar-payment", event)


async def _charged_back(stage: Stage) -> None:
    stage.expected.charged_back(MARKED_FINE.fine_id, Decimal("3.00"))
    event = payment(SOUTH, "PAY-8/back", "3.00")
    event |= {"kind": "reversal", "reverses_payment_id": "PAY-8"}
    await stage.publish_structured("bursar-payment", event)


async def _paid_by_sum(stage: Stage) -> None:
    """The ERP says whose money it is, and not for which line; the patron owes for one alone."""
    stage.expected.paid(MARKED_FINE.fine_id, Decimal("3.00"))
    event = payment(SOUTH, "PAY-9", "3.00", patron_id=MARKED_FINE.patron.patron_id)
    await stage.publish_structured("bursar-payment", event)


STEPS = (
    Step("1 fines and credits created", _created),
    Step("2 North exported (export only)", _exported_north),
    Step("3 South exported (with import)", _exported_south),
    Step("4 F-2001 paid in part", _paid_in_part),
    Step("5 F-2001 paid in full", _paid_in_full),
    Step("6 F-2003 overpaid", _overpaid),
    Step("7 F-2001 paid twice more", _repeated),
    Step("8 four bad payments", _rejected, rejected=4),
    Step("9 F-2005 paid too early", _paid_before_its_fine, parked=1),
    Step("10 F-2005 comes", _its_fine_comes, parked=1),
    Step("11 F-2006 comes, oddly written", _its_title_has_marks, parked=1),
    Step("12 F-2006 adjusted to 7.50", _adjusted, parked=1),
    Step("13 South exported again", _exported_south),
    Step("14 F-2006 paid, id padded", _paid_by_padded_id),
    Step("15 3.00 of it charged back", _charged_back),
    Step("16 paid by a sum without a line", _paid_by_sum),
)
