"""A mixed load through two processes of one group, whole and with each of them killed in between.

BURSAR_LOAD_EVENTS sets its size (default 2 000; 100 000 is what a release is tried with). The load
is made so that no outcome hangs on how partitions interleave: copies and conflicts come after their
original in its partition, a fine has one payment at most, and an excess becomes a credit.
"""

import json
import os
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.support import inputs
from tests.support.installation import institution, profile
from tests.support.process import Site
from tests.support.topics import produce, read_topic

EVENTS = int(os.environ.get("BURSAR_LOAD_EVENTS", "2000"))
SEED = 20_261_124
INSTITUTIONS = ("101", "102", "103")
PATRONS = 2_000
DRAIN_SECONDS_MAX = 60 + EVENTS // 100
Account = tuple[str, str]
Record = tuple[bytes, bytes]


def configuration(name: str) -> str:
    types, credits_too = ["OVERDUEFINE", "CREDIT"], {"included": True}
    table = profile(f"P{name}", institution=name, fine_types=types, credits=credits_too)
    return institution(name) + table


def money(minor: int) -> str:
    sign = "-" if minor < 0 else ""
    return f"{sign}{abs(minor) // 100}.{abs(minor) % 100:02}"


@dataclass
class Expected:
    """The books by plain sums, kept while the load is made."""

    active: Counter[Account] = field(default_factory=Counter)
    transferred: Counter[Account] = field(default_factory=Counter)
    transactions: Counter[Account] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    parked: int = 0


class Load:
    """Fines and early payments first; after their export payments and reversals."""

    def __init__(self, events: int) -> None:
        self.chance = random.Random(SEED)
        self.expected = Expected()
        self.created: list[Record] = []
        self.early: list[Record] = []
        self.late: list[Record] = []
        self.events = events
        self._make()

    @property
    def records(self) -> int:
        return len(self.created) + len(self.early) + len(self.late)

    def _make(self) -> None:
        number = 0
        while self.records < self.events:
            number += 1
            account = (self.chance.choice(INSTITUTIONS), f"P-{self.chance.randrange(PATRONS)}")
            self._fine(f"F-{number}", account)

    def _fine(self, name: str, account: Account) -> None:
        amount = self.chance.randrange(100, 20_000)
        is_credit = self.chance.random() < 0.08
        due = -amount if is_credit else amount
        data = self._created(name, account, due)
        self._put(self.created, name, data)
        self._spoil(self.created, name, data, "fine_conflict", {"comment": "other"})
        self.expected.transferred[account] += due
        self.expected.transactions[account] += 2  # created, exported
        if is_credit:
            return
        kind = self.chance.random()
        if kind < 0.25:
            self._paid(self.early, name, account, self.chance.randrange(1, amount + 1), amount)
        elif kind < 0.85:
            factor = self.chance.choice((0.5, 1, 1, 1.25))
            self._paid(self.late, name, account, int(amount * factor), amount)
        elif kind < 0.86:
            self._put(
                self.late, f"X-{name}", self._payment(f"X-{name}", account[0], f"X-{name}", 5)
            )
            self.expected.parked += 1
        elif kind < 0.88:
            self._put(
                self.late, name, self._payment(f"bad-{name}", account[0], name, 5) | {"amount": 5}
            )
            self.expected.rejected["invalid_amount"] += 1

    def _paid(
        self, where: list[Record], name: str, account: Account, paid: int, amount: int
    ) -> None:
        data = self._payment(f"pay-{name}", account[0], name, paid)
        self._put(where, name, data)
        fits, balances = min(paid, amount), self.expected
        excess = paid - fits
        balances.transferred[account] -= fits
        balances.active[account] -= excess
        balances.transactions[account] += 2 if excess else 1
        self._spoil(where, name, data, "payment_conflict", {"amount": money(paid + 1)})
        if where is self.late and self.chance.random() < 0.1:
            back = data | {"payment_id": f"back-{name}", "kind": "reversal"}
            self._put(where, name, back | {"reverses_payment_id": f"pay-{name}"})
            balances.transferred[account] += fits
            balances.active[account] += excess
            balances.transactions[account] += 2 if excess else 1

    def _spoil(
        self,
        where: list[Record],
        name: str,
        data: dict[str, object],
        reason: str,
        other: dict[str, object],
    ) -> None:
        """Now and then the same again, or something else under the same identity."""
        if self.chance.random() < 0.06:
            self._put(where, name, data)
        if self.chance.random() < 0.01:
            self._put(where, name, data | other)
            self.expected.rejected[reason] += 1

    @staticmethod
    def _put(where: list[Record], name: str, data: dict[str, object]) -> None:
        where.append((name.encode(), json.dumps(data).encode()))

    @staticmethod
    def _created(name: str, account: Account, due: int) -> dict[str, object]:
        institution_id, patron_id = account
        return inputs.fine_created(
            institution_id=institution_id,
            fine_id=name,
            patron={
                "patron_id": patron_id,
                "name": "Doe, Jane",
                "user_group": "STUDENT",
                "identifiers": [{"type": "02", "value": patron_id}],
            },
            type="CREDIT" if due < 0 else "OVERDUEFINE",
            amount=money(due),
        )

    @staticmethod
    def _payment(name: str, institution_id: str, fine_id: str, paid: int) -> dict[str, object]:
        return inputs.bursar_payment(
            institution_id=institution_id,
            payment_id=name,
            fine_id=fine_id,
            bursar_transaction_id=inputs.ABSENT,
            amount=money(paid),
        )


@pytest.fixture
async def site(site: Site) -> Site:
    site.write_profiles("".join(map(configuration, INSTITUTIONS)))
    await site.command("migrate")
    await site.command("topics", "create", "--partitions", "4")
    return site


def send(site: Site, contract: str, records: list[Record]) -> None:
    """With headers that are the same for all: identity is the business key."""
    _, headers = inputs.binary(contract, {})
    sent = produce(site.servers, site.topic(contract), records, "murmur2_random", headers)
    assert sent == len(records)


async def pass_by(site: Site, records: int) -> None:
    async def is_there() -> bool:
        return await site.applied() >= records

    await site.until(is_there, DRAIN_SECONDS_MAX)


async def run_through(site: Site, load: Load, *, kills: bool) -> None:
    """Both halves of the load with the export between them."""
    await site.start("one")
    await site.start("two")
    send(site, "bursar-payment.v1", load.early[: len(load.early) // 2])
    send(site, "fine-created.v1", load.created)
    send(site, "bursar-payment.v1", load.early[len(load.early) // 2 :])
    first = len(load.created) + len(load.early)
    if kills:
        await pass_by(site, first // 3)
        await site.kill("one")
        await site.start("three")
    await site.until_idle(first, DRAIN_SECONDS_MAX)
    await site.command("export", "run", "--all")
    send(site, "bursar-payment.v1", load.late)
    if kills:
        await pass_by(site, first + len(load.late) // 3)
        await site.kill("two")
        await site.start("four")
    await site.until_idle(load.records, DRAIN_SECONDS_MAX)
    await site.stop_all()


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(False, id="whole", marks=pytest.mark.slow),
        pytest.param(True, id="each_process_killed_once"),
    ],
)
@pytest.mark.fault("repeats-and-replay")
async def test_the_books_are_those_of_plain_sums(site: Site, kills: bool) -> None:
    load = Load(EVENTS)
    await run_through(site, load, kills=kills)

    await check_tables(site, load.expected)
    check_events(site, load.expected)


async def check_tables(site: Site, expected: Expected) -> None:
    rows = await site.rows("SELECT * FROM account")
    result = {(str(r["institution_id"]), str(r["patron_id"])): r for r in rows}
    assert result.keys() == expected.transactions.keys()
    for account, row in result.items():
        assert (row["active"], row["transferred"], row["sequence"]) == (
            expected.active[account],
            expected.transferred[account],
            expected.transactions[account],
        )
    gaps = await site.rows(
        "SELECT institution_id FROM ledger_transaction"
        " GROUP BY institution_id, patron_id, currency"
        " HAVING count(*) <> max(sequence) OR min(sequence) <> 1"
    )
    assert gaps == []
    rejected = await site.rows("SELECT reason, count(*) AS n FROM rejected GROUP BY reason")
    assert {str(row["reason"]): row["n"] for row in rejected} == dict(expected.rejected)
    parked = await site.rows("SELECT wait, count(*) AS n FROM parked GROUP BY wait")
    assert parked == [{"wait": "unknown_fine", "n": expected.parked}]
    assert (await site.rows("SELECT count(*) AS n FROM outbox"))[0]["n"] == 0
    assert await site.command("reconcile")


def events(site: Site) -> Iterator[dict[str, object]]:
    """Balance-changed events by account and sequence, repeats dropped."""
    kept: dict[tuple[object, ...], dict[str, object]] = {}
    for read in read_topic(site.servers, site.topic("balance-changed.v1")):
        data = json.loads(read.value or b"")
        place = (data["institution_id"], data["patron_id"], data["epoch"], data["sequence"])
        assert kept.setdefault(place, data) == data, "a repeat says the same"
    yield from (kept[place] for place in sorted(kept, key=lambda place: (place[:3], place[3])))


def check_events(site: Site, expected: Expected) -> None:
    numbers: dict[Account, list[int]] = defaultdict(list)
    last: dict[Account, dict[str, object]] = {}
    for event in events(site):
        account = (str(event["institution_id"]), str(event["patron_id"]))
        numbers[account].append(int(str(event["sequence"])))
        last[account] = event
    assert last.keys() == expected.transactions.keys()
    for account, event in last.items():
        assert numbers[account] == list(range(1, expected.transactions[account] + 1))
        active, transferred = expected.active[account], expected.transferred[account]
        assert event["balance"] == {
            "active": money(active),
            "transferred": money(transferred),
            "total": money(active + transferred),
        }
    result = read_topic(site.servers, site.topic("rejected.v1"))
    assert len({dict(read.headers)["ce_id"] for read in result}) == expected.rejected.total()
