"""An older ledger comes back, and what was published since is adopted: for tests of the rules.

Nothing here reads a database or Kafka; the lines are made from the exports of the lost ledger.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from service.core.adopted import AdoptedLine
from service.core.batches import SealedBatch
from service.core.events import TakeLines
from service.core.ledger import ExportRef, LineKey
from service.core.words import BatchState, Kind, Status
from tests.support.given import Export
from tests.support.in_memory import Ledger, Step
from tests.support.view_store import Store


def adopts(
    store: Store,
    batch: Export,
    amounts: Mapping[str, int] | int,
    *,
    closed: Collection[str] = (),
    patron: str | None = None,
) -> None:
    """Adopts a batch that the ledger does not know.

    `amounts` are those of its fines, or of its only fine; `closed` are those that the batch has
    closed. The lines do not say whose fines they are, unless a `patron` is named.
    """
    number = len(store.batches) + 1
    if isinstance(amounts, int):
        amounts = {batch.fines[0].fine.fine_id: amounts}
    for place, exported in enumerate(batch.fines):
        fine_id = exported.fine.fine_id
        line = AdoptedLine(
            LineKey(exported.fine.institution_id, exported.bursar_transaction_id),
            fine_id,
            batch.batch,
            place,
            amounts[fine_id],
            batch.currency,
            Status.CLOSED if fine_id in closed else Status.TRANSFERRED,
            exported.terms,
            exported.cutoff,
            number,
            patron,
        )
        assert line.key not in store.lines
        store.adopted[line.key] = line
    total = sum(amounts[each.fine.fine_id] for each in batch.fines)
    count = len(batch.fines)
    store.batches[batch.batch] = SealedBatch(
        batch.batch, batch.currency, count, total, BatchState.SEALED
    )


def recovering(
    *before: Step,
    adopted: Sequence[tuple[Export, Mapping[str, int] | int]],
    closed: Collection[str] = (),
    patron: str | None = None,
) -> Ledger:
    """A ledger after the steps `before`, with batches adopted that were published after them."""
    ledger = Ledger(*before)
    for batch, amounts in adopted:
        adopts(ledger.store, batch, amounts, closed=closed, patron=patron)
    return ledger


def adopt_all(store: Store, lost: Store, exports: Iterable[Export]) -> list[AdoptedLine]:
    """Adopts these batches of the lost ledger, which have the amounts and effects of its exports,
    and returns their lines in order. Whose fines they are is known, as a recovery knows it.
    """
    done = {
        line.cause.bursar_transaction_id: line
        for line in lost.transactions
        if isinstance(line.cause, ExportRef) and line.kind is not Kind.EXPORT_REJECTED
    }
    before = store.adopted.keys() | set()
    for batch in exports:
        lines = [done[exported.bursar_transaction_id] for exported in batch.fines]
        amounts = {line.fine.facts.fine_id: line.amount for line in lines}
        closed = [line.fine.facts.fine_id for line in lines if line.kind is Kind.EXPORT]
        adopts(store, batch, amounts, closed=closed)
    for key, line in store.adopted.items():
        if key not in before:
            patron_id = lost.fines[line.fine].facts.patron_id
            store.adopted[key] = replace(line, patron_id=patron_id)
    return [line for key, line in store.adopted.items() if key not in before]


def take_known(store: Store, lines: Iterable[AdoptedLine]) -> None:
    """Lets the fines that are known take their lines, batch by batch."""
    batches: dict[int, list[TakeLines]] = {}
    for line in lines:
        batches.setdefault(line.export_number, []).append(TakeLines(line.fine))
    for events in batches.values():
        store.fold(*events)
