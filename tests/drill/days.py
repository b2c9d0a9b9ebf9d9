"""The traffic of the drill: what libraries, bursars and operators do before and after the backup.

Day one is in the backup. Day two is lost with the database: payments and answers for the batches of
day one, an export, payments and refusals of its lines, decisions of operators, and an export of the
fines that they released. The topics keep all of it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from tests.oracle.model import Model
from tests.oracle.records import Data
from tests.oracle.tables import AccountId
from tests.support import inputs
from tests.support.load import Load
from tests.support.load_events import Event, lines_of, publish, take_all
from tests.support.load_rules import LUMP_PAYMENTS, export_of
from tests.support.process import Site
from tests.support.topics import read_topic

PARTITIONS = 3
SOURCE = "DRILL"
WHY = ("--reason", "decided on the day that is lost", "--operator", "drill")
# Of the lines of a batch that the bursar answers.
UNCOLLECTABLE_SHARE, PAID_SHARE = 0.04, 0.6


@dataclass(slots=True)
class Days:
    """What was sent so far; `records` is the number of records in the input topics."""

    site: Site
    random: Random
    records: int = 0
    _made: Load = field(init=False)
    _model: Model = field(init=False)

    def __post_init__(self) -> None:
        self._made = Load(self.random)
        self._model = Model(settings=LUMP_PAYMENTS)

    async def first(self, count: int) -> None:
        """Fines, changes in the library and payments that come too early; then an export."""
        await self._send(self._made.first_half(count))
        await self.export()

    async def second(self, count: int) -> None:
        """All that a day can bring, with two exports, and decisions of operators in between."""
        manifests = self._manifests()
        for manifest in manifests:
            self._model.take(export_of(manifest))
        batches = {name: manifest for name, _, manifest in lines_of(manifests)}
        await self._send(self._made.second_half(count, self._model, batches))
        await self.export()
        await self._send(answers(self.random, self._manifests()[len(manifests) :]))
        await self._decide()
        await self.export()

    async def while_it_stands_still(self, count: int) -> set[AccountId]:
        """Records that come while the service does not run: nobody reads them yet. Returns the
        accounts that they change.
        """
        before, events = self._model.balances(), self._made.first_half(count)
        await self._publish(events)
        after = self._model.balances()
        return {account for account, balance in after.items() if balance != before.get(account)}

    async def export(self) -> None:
        """A run of every profile; returns when everything is sent."""
        await self.site.command("export", "run", "--all")
        await self.idle()

    async def idle(self) -> None:
        """Waits until all records that were sent are read, and all that they caused is sent."""
        await self.site.until_idle(self.records, 60 + self.records // 20)

    async def _decide(self) -> None:
        """The office releases what the bursar refused, and gives up what makes no sense."""
        await self.site.command("held", "release", "--all", "--yes", *WHY)
        await self.site.command("rejected", "discard", "--all", "--yes", *WHY)

    async def _send(self, events: Sequence[Event]) -> None:
        await self._publish(events)
        await self.idle()

    async def _publish(self, events: Sequence[Event]) -> None:
        take_all(self._model, events)
        sent = (self.site.servers, self.site.prefix, events, PARTITIONS)
        await asyncio.to_thread(publish, *sent)
        self.records += len(events)

    def _manifests(self) -> list[Data]:
        """In the order in which they were sealed."""
        records = read_topic(self.site.servers, self.site.topic("export-manifest.v1"))
        manifests = [json.loads(record.value or b"") for record in records]
        return sorted(manifests, key=lambda each: (each["sealed_at"], each["export_number"]))


def answers(random: Random, manifests: Iterable[Data]) -> list[Event]:
    """The bursar pays lines by the bursar's own ids, and refuses some."""
    events: list[Event] = []
    for manifest in manifests:
        lines = list(manifest["lines"])
        random.shuffle(lines)
        uncollectable = lines[: max(1, int(len(lines) * UNCOLLECTABLE_SHARE))]
        paid = lines[len(uncollectable) :][: int(len(lines) * PAID_SHARE)]
        events += (_payment(manifest, line) for line in paid)
        if lines:
            events.append(_response(manifest, uncollectable))
    return events


def _payment(manifest: Data, line: Data) -> Event:
    number = line["bursar_transaction_id"]
    data = inputs.bursar_payment(
        institution_id=manifest["institution_id"],
        source=SOURCE,
        payment_id=f"PAID-{number}",
        fine_id=inputs.ABSENT,
        bursar_transaction_id=number,
        amount=line["amount"].removeprefix("-"),
        currency=manifest["currency"],
    )
    return Event("bursar-payment.v1", number, data, inputs.value_of(data))


def _response(manifest: Data, lines: Sequence[Data]) -> Event:
    names = ("institution_id", "profile", "batch_number")
    number = f"{manifest['profile']}-{manifest['batch_number']}"
    data = inputs.export_response(
        **{name: manifest[name] for name in names},
        source=SOURCE,
        response_id=number,
        outcome="partial",
        refused_lines=[
            {"bursar_transaction_id": line["bursar_transaction_id"], "reason": "no such student"}
            for line in lines
        ],
    )
    return Event("export-response.v1", number, data, inputs.value_of(data))
