"""A mixed load whose end does not depend on how partitions interleave, for any number of processes.

What belongs to one fine lies in one partition of each topic, in order; copies and conflicts come
after their original. Between topics nothing hangs on luck: a payment waits for its fine, a change
closes it or does not. Between the halves there is one export, when all of the first is applied.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from zlib import crc32

from confluent_kafka import Producer

from tests.support import inputs
from tests.support.model import Data, FineName, Model, ModelFine, Rules

PATRONS = 2_000
SOURCE = "ERP"
SECONDS_MAX = 60
OVERDUE, LOST, SERVICE, CREDIT = "OVERDUEFINE", "LOSTITEMREPLACEMENTFEE", "LIBRARYSERVICE", "CREDIT"
TYPES = (OVERDUE, LOST, SERVICE, CREDIT, "IN_NO_PROFILE")
WEIGHTS = (70, 10, 10, 7, 3)
CURRENCIES = {"1001": "USD", "1002": "EUR", "1003": "JPY"}
OVERPAYMENT = {"1001": "credit", "1002": "reject", "1003": "hold"}


def _rules(institution: str) -> tuple[Rules, ...]:
    """Credits go along only where no excess makes new ones in the middle of a run."""
    overpayment = OVERPAYMENT[institution]
    main = {OVERDUE, CREDIT} if overpayment == "hold" else {OVERDUE}
    return (
        Rules(f"main_{institution}", frozenset(main), overpayment=overpayment),
        Rules(f"lost_{institution}", frozenset({LOST}), lost=frozenset({LOST})),
        Rules(f"only_{institution}", frozenset({SERVICE}), imports=False),
    )


RULES: Mapping[str, tuple[Rules, ...]] = {name: _rules(name) for name in CURRENCIES}


def profiles() -> str:
    """The configuration that RULES are the other reading of."""
    return "\n".join(_institution(name) for name in CURRENCIES)


def _institution(name: str) -> str:
    return f'[[institution]]\nid = "{name}"\nzone = "Europe/Vienna"\n' + "".join(
        f'[[profile]]\ncode = "{own.profile}"\nname = "{own.profile}"\ninstitution = "{name}"\n'
        f'mode = "{"export_import" if own.imports else "export_only"}"\n'
        f'currency = "{CURRENCIES[name]}"\nmatch = "02"\nfines_max = 500\n'
        f'overpayment = "{own.overpayment}"\n'
        f"close_paid_lost_loan = {json.dumps(bool(own.lost))}\n"
        f"fine_types = {json.dumps(sorted(own.types - {CREDIT}))}\n"
        f"credits = {{ included = {json.dumps(CREDIT in own.types)} }}\n"
        for own in RULES[name]
    )


@dataclass(frozen=True, slots=True)
class Event:
    """A record and what it says; None in `data`: it is bad, for `reason`."""

    contract: str
    place: str  # what lies in one partition
    data: Data | None
    value: bytes
    reason: str | None = None


@dataclass(slots=True)
class Load:
    """Makes both halves; the second knows from the model what was exported in between."""

    random: Random
    _made: list[tuple[float, Event]] = field(default_factory=list)
    _fines: list[Data] = field(default_factory=list)
    _number: int = 0

    def first_half(self, count: int) -> list[Event]:
        """Fines, what the library changes, and payments that come too early."""
        while len(self._made) < count:
            data = self._new_fine()
            if self.random.random() < 0.15:
                self._change(data)
            if self.random.random() < 0.15:
                self._early_payments(data)
            self._bad_now_and_then()
        return self._sorted()

    def second_half(
        self, count: int, model: Model, batches: Mapping[FineName, Data]
    ) -> list[Event]:
        """Payments in every way there is, refused lines, and new fines. `batches`: manifests."""
        exported = [model.fines[name] for name in sorted(model.live_lines())]
        self.random.shuffle(exported)
        accepted = {
            (b["institution_id"], b["profile"], b["batch_number"]): b for b in batches.values()
        }
        for batch in accepted.values():
            self._respond(batch, ())
        for _ in range(max(1, count // 200)):
            one = exported.pop()
            self._respond(batches[one.name], (str(one.line),))
        scenes: list[Callable[[ModelFine], None]] = [
            self._pays_in_full,
            self._pays_twice,
            self._pays_too_much,
            self._writes_off,
            self._reverses,
            self._confuses,
        ]
        while len(self._made) < count:
            if exported:
                self.random.choice(scenes)(exported.pop())
            else:
                self._change(self._new_fine())
            if self.random.random() < 0.1:
                self._early_payments(self._new_fine())
            self._bad_now_and_then()
        return self._sorted()

    # Fines and changes

    def _new_fine(self) -> Data:
        random, number = self.random, self._next()
        institution = random.choice(list(CURRENCIES))
        kind = random.choices(TYPES, WEIGHTS)[0]
        amount = random.randint(100, 20_000)
        data = inputs.fine_created(
            institution_id=institution,
            fine_id=f"F-{number}",
            patron=_patron(f"P-{random.randrange(PATRONS)}"),
            type=kind,
            amount=_money(-amount if kind == CREDIT else amount, institution),
            currency=CURRENCIES[institution],
            loan_id=f"L-{number}",
        )
        at = random.random()
        self._put(at, "fine-created.v1", f"F-{number}", data)
        self._again(at, "fine-created.v1", f"F-{number}", data)
        return data

    def _change(self, fine: Data) -> None:
        for _ in range(self.random.choice((1, 1, 2))):
            kind = self.random.choice(("paid", "waived", "cancelled", "disputed", "restored"))
            data = inputs.fine_changed(
                institution_id=fine["institution_id"],
                change_id=f"C-{self._next()}",
                fine_id=fine["fine_id"],
                kind=kind,
                amount=self._part(fine, 1.1) if kind in ("paid", "waived") else inputs.ABSENT,
                currency=fine["currency"] if kind in ("paid", "waived") else inputs.ABSENT,
            )
            at = self.random.random()
            self._put(at, "fine-changed.v1", str(fine["fine_id"]), data)
            self._again(at, "fine-changed.v1", str(fine["fine_id"]), data)

    def _early_payments(self, fine: Data) -> None:
        for _ in range(self.random.choice((1, 1, 2))):
            amount = self._part(fine, 1.2)
            paid = self._pay(fine, self.random.random(), {"fine_id": fine["fine_id"]}, amount)
            if self.random.random() < 0.2:
                self._reverse(paid, self.random.random(), str(fine["fine_id"]))

    # The bursar

    def _pays_in_full(self, fine: ModelFine) -> None:
        self._pay(self._facts(fine), self.random.random(), self._reference(fine), _left(fine))

    def _pays_twice(self, fine: ModelFine) -> None:
        facts, at = self._facts(fine), sorted(self.random.random() for _ in range(2))
        self._pay(facts, at[0], self._reference(fine), self._part(facts, 0.6))
        self._pay(facts, at[1], self._reference(fine), self._part(facts, 0.6))

    def _pays_too_much(self, fine: ModelFine) -> None:
        facts, at = self._facts(fine), self.random.random() / 2
        more = _money(fine.owed() + self.random.randint(1, 500), fine.name[0])
        paid = self._pay(facts, at, self._reference(fine), more)
        if self.random.random() < 0.5:
            self._reverse(paid, self.random.random(), fine.name[1])

    def _writes_off(self, fine: ModelFine) -> None:
        facts = self._facts(fine)
        amount = self._part(facts, 1.2)
        kind = {"kind": "write_off"}
        self._pay(facts, self.random.random(), {**self._reference(fine), **kind}, amount)
        status = {"kind": "status", "status_code": "invoiced", "currency": inputs.ABSENT}
        self._pay(facts, self.random.random(), {**self._reference(fine), **status}, inputs.ABSENT)

    def _reverses(self, fine: ModelFine) -> None:
        """Sometimes before the payment, sometimes twice, sometimes a reversal."""
        facts, at = self._facts(fine), self.random.random() / 2
        paid = self._pay(facts, at, self._reference(fine), self._part(facts, 1))
        back = self._reverse(paid, self.random.random(), fine.name[1])
        if self.random.random() < 0.2:
            self._reverse(self.random.choice((paid, back)), self.random.random(), fine.name[1])
        if self.random.random() < 0.5:
            self._pay(facts, self.random.random(), self._reference(fine), _left(fine))

    def _confuses(self, fine: ModelFine) -> None:
        """Unknown lines, fines that never come, another currency, a change that comes too late."""
        facts, at = self._facts(fine), self.random.random()
        amount = self._part(facts, 1)
        match self.random.randrange(5):
            case 0:
                self._pay(
                    facts, at, {"bursar_transaction_id": "7", "fine_id": inputs.ABSENT}, amount
                )
            case 1:
                self._pay(facts, at, {"fine_id": f"NEVER-{self._next()}"}, amount)
            case 2:
                other = {"bursar_transaction_id": fine.line, "fine_id": "ANOTHER"}
                self._pay(facts, at, other, amount)
            case 3:
                self._pay(facts, at, {**self._reference(fine), "currency": "KWD"}, "1")
            case _:
                self._change(facts)

    def _respond(self, batch: Data, refused: Sequence[str]) -> None:
        lines = [{"bursar_transaction_id": one, "reason": "no such student"} for one in refused]
        data = inputs.export_response(
            institution_id=batch["institution_id"],
            profile=batch["profile"],
            batch_number=batch["batch_number"],
            response_id=f"R-{self._next()}",
            outcome="partial" if lines else "accepted",
            refused_lines=lines or inputs.ABSENT,
            control={"count": batch["count"], "total": batch["total"]},
        )
        at, place = self.random.random(), str(data["response_id"])
        self._put(at, "export-response.v1", place, data)
        self._again(at, "export-response.v1", place, data)

    def _pay(self, fine: Data, at: float, members: Data, amount: object) -> Data:
        named = {"fine_id": inputs.ABSENT, "currency": fine["currency"], **members}
        data = inputs.bursar_payment(
            institution_id=fine["institution_id"],
            source=SOURCE,
            payment_id=f"PAY-{self._next()}",
            amount=amount,
            **named,
        )
        self._put(at, "bursar-payment.v1", str(fine["fine_id"]), data)
        self._again(at, "bursar-payment.v1", str(fine["fine_id"]), data)
        return data

    def _reverse(self, paid: Data, at: float, place: str) -> Data:
        data = inputs.bursar_payment(
            institution_id=paid["institution_id"],
            source=SOURCE,
            payment_id=f"PAY-{self._next()}",
            kind="reversal",
            reverses_payment_id=paid["payment_id"],
            fine_id=inputs.ABSENT,
            amount=inputs.ABSENT,
            currency=inputs.ABSENT,
        )
        self._put(at, "bursar-payment.v1", place, data)
        self._again(at, "bursar-payment.v1", place, data)
        return data

    def _reference(self, fine: ModelFine) -> dict[str, object]:
        """By the bursar's id, by the library's, or both."""
        both = {"fine_id": fine.name[1], "bursar_transaction_id": fine.line}
        dropped = self.random.choice(("fine_id", "bursar_transaction_id", None))
        return {name: value for name, value in both.items() if name != dropped}

    # Records

    def _again(self, at: float, contract: str, place: str, data: Data) -> None:
        """The same again, or other content under the same identity, some time later."""
        later = self.random.uniform(at, 1)
        chance = self.random.random()
        if chance < 0.05:
            self._put(later, contract, place, data)
        elif chance < 0.06:
            member = "responded_at" if contract == "export-response.v1" else "comment"
            other = {**data, member: "2026-09-09T09:09:09Z"}
            self._put(later, contract, place, other)

    def _bad_now_and_then(self) -> None:
        if self.random.random() < 0.015:
            contract, value, reason = self.random.choice(BAD)
            place = f"bad {self._next()}"
            self._made.append((self.random.random(), Event(contract, place, None, value, reason)))

    def _put(self, at: float, contract: str, place: str, data: Data) -> None:
        self._made.append((at, Event(contract, place, data, inputs.value_of(data))))

    def _sorted(self) -> list[Event]:
        """Equal times do not happen; the order of making is not the order of time."""
        made = [event for _, event in sorted(self._made, key=lambda pair: pair[0])]
        self._made = []
        return made

    def _facts(self, fine: ModelFine) -> Data:
        return fine.content

    def _part(self, fine: Data, most: float) -> str:
        amount = abs(_minor(str(fine["amount"]), str(fine["institution_id"])))
        part = max(1, int(amount * self.random.uniform(0.1, most)))
        return _money(part, str(fine["institution_id"]))

    def _next(self) -> int:
        self._number += 1
        return self._number


BAD = (
    ("fine-created.v1", b"no JSON at all", "invalid_json"),
    ("fine-created.v1", b'{"a": 1, "a": 2}', "invalid_json"),
    ("fine-changed.v1", b"\x00", "invalid_json"),
    ("bursar-payment.v1", b"\xff\xfe", "invalid_json"),
    ("bursar-payment.v1", b"{}", "invalid_schema"),
    ("export-response.v1", b"[]", "invalid_schema"),
    (
        "fine-created.v1",
        inputs.value_of(inputs.fine_created(institution_id="1001", amount=95.5)),
        "invalid_amount",
    ),
    (
        "bursar-payment.v1",
        inputs.value_of(inputs.bursar_payment(institution_id="1001", currency="XXX")),
        "invalid_currency",
    ),
    (
        "fine-created.v1",
        inputs.value_of(inputs.fine_created(institution_id="1001", comment="\u202e")),
        "invalid_text",
    ),
    ("fine-changed.v1", b" " * (64 * 1024 + 1), "invalid_size"),
)


def told(model: Model, events: Iterable[Event]) -> None:
    """The model takes the events in their order."""
    for event in events:
        if event.data is not None:
            model.take(event.contract, event.data)
        else:
            model.rejected[str(event.reason)] += 1


def publish(servers: str, prefix: str, events: Sequence[Event], partitions: int) -> None:
    """All of them, acknowledged; what has one place lies in one partition, in order."""
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 20, "enable.idempotence": True})
    headers: dict[str, list[tuple[str, str | bytes | None]]] = {
        name: list(inputs.binary(name, b"")[1]) for name in {event.contract for event in events}
    }
    for count, event in enumerate(events):
        producer.produce(
            prefix + event.contract,
            event.value,
            event.place.encode(),
            partition=crc32(event.place.encode()) % partitions,
            headers=headers[event.contract],
        )
        if count % 10_000 == 9_999:
            producer.flush(SECONDS_MAX)
    assert producer.flush(SECONDS_MAX) == 0


def lines_of(manifests: Iterable[Data]) -> Iterator[tuple[FineName, str, Data]]:
    """Fine, bursar id and manifest of every line."""
    for manifest in manifests:
        for line in manifest["lines"]:
            name = (manifest["institution_id"], line["fine_id"])
            yield name, line["bursar_transaction_id"], manifest


def _patron(patron_id: str) -> dict[str, object]:
    return {
        "patron_id": patron_id,
        "name": "Doe, Jane",
        "user_group": "STUDENT",
        "identifiers": [{"type": "02", "value": f"A{patron_id}"}],
    }


def _left(fine: ModelFine) -> str:
    return _money(fine.owed() or 1, fine.name[0])


def _money(minor: int, institution: str) -> str:
    if CURRENCIES[institution] == "JPY":
        return str(minor)
    sign, minor = ("-" if minor < 0 else ""), abs(minor)
    return f"{sign}{minor // 100}.{minor % 100:02}"


def _minor(amount: str, institution: str) -> int:
    return int(amount if CURRENCIES[institution] == "JPY" else amount.replace(".", ""))
