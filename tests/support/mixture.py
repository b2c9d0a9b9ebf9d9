"""Records of all four contracts from small pools of ids, so that they meet each other often."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from tests.support.inputs import ABSENT
from tests.support.installation import institution, profile
from tests.support.write_path import Record, change, fine, payment, record, response

INSTITUTION = "6050"
PATRONS = 30
PAYMENTS = 400
TYPES = ("OVERDUEFINE", "LOSTITEMREPLACEMENTFEE", "CREDIT", "LIBRARYSERVICE")

PROFILES = (
    institution(zone="America/New_York")
    + profile("both", fines_max=40, credits={"included": True}, library_payments="credit")
    + profile(
        "lost", fine_types=["LOSTITEMREPLACEMENTFEE"], close_paid_lost_loan=True, fines_max=40
    )
    + profile("only", mode="export_only", fine_types=["LIBRARYSERVICE"], library_payments="credit")
    + profile("yen", currency="JPY", overpayment="hold")
)

BAD_VALUES = (
    b"not JSON",
    b'{"institution_id": "6050", "institution_id": "6050"}',
    b'{"institution_id": "6050", "amount": 1.5}',
    b"\x00",
    b"\xff\xfe",
    b"[" * 300,
)


@dataclass(frozen=True, slots=True)
class Exported:
    """What was sealed before: its bursar ids, and its batches by profile and number."""

    lines: Sequence[str]
    batches: Sequence[tuple[str, int]]


def first_fines(count: int) -> list[Record]:
    """Fines of every type and two currencies, F-0 to F-<count - 1>."""
    random = Random(1)
    return [_fine(random, f"F-{number}") for number in range(count)]


def mixture(seed: int, count: int, first: int, exported: Exported) -> list[Record]:
    """`count` records on fines F-0 to F-<first - 1>, which are there, and on as many new ones."""
    random = Random(seed)
    made: list[Record] = []
    kinds: list[tuple[int, Callable[[], Record]]] = [
        (18, lambda: _fine(random, f"F-{random.randrange(2 * first)}")),
        (18, lambda: _change(random, first)),
        (40, lambda: _payment(random, first, exported)),
        (4, lambda: _sum(random)),
        (6, lambda: _response(random, exported)),
        (4, lambda: _bad(random)),
        (10, lambda: random.choice(made) if made else _bad(random)),
    ]
    weights = [weight for weight, _ in kinds]
    while len(made) < count:
        ((_, make),) = random.choices(kinds, weights)
        made.append(make())
    return made


def _fine(random: Random, fine_id: str) -> Record:
    """A patron's fine always has the same patron and currency: most second ones are conflicts."""
    kind, amount, patron = _facts_of(fine_id)
    minute = random.randrange(60)
    return fine(
        fine_id=fine_id,
        type=kind,
        amount=f"{-amount if kind == 'CREDIT' else amount}",
        currency=_currency(fine_id),
        credit_of=_credited(fine_id) if kind == "CREDIT" else ABSENT,
        loan_id=f"L-{patron}",
        comment=random.choice(("first", "first", "first", "second")),
        patron={
            "patron_id": f"P-{patron}",
            "name": f"Doe, {random.choice('ABC')}",
            "user_group": "STUDENT",
            "identifiers": [{"type": "02", "value": f"A{patron}"}],
        },
        created_at=f"2026-09-01T10:{minute if random.random() < 0.1 else 0:02}:00Z",
    )


@cache
def _facts_of(fine_id: str) -> tuple[str, int, int]:
    """Type, amount and number of the patron."""
    chance = Random(fine_id)
    return chance.choice(TYPES), chance.randint(1, 90), chance.randrange(PATRONS)


def _credited(fine_id: str) -> object:
    """The latest debit of the account before the credit; now and then another account's."""
    number, account = int(fine_id[2:]), (_facts_of(fine_id)[2], _currency(fine_id))
    earlier = [f"F-{n}" for n in range(number - 1, -1, -1)]
    if number % 8 == 0:
        return f"F-{number + 1}"
    same = (name for name in earlier if (_facts_of(name)[2], _currency(name)) == account)
    return next((name for name in same if _facts_of(name)[0] != "CREDIT"), ABSENT)


def _currency(fine_id: str) -> str:
    return "JPY" if int(fine_id[2:]) % 3 == 0 else "USD"


def _some_fine(random: Random, first: int) -> str:
    return f"F-{random.randrange(2 * first)}"


def _change(random: Random, first: int) -> Record:
    kind = random.choice(("paid", "waived", "adjusted", "cancelled", "disputed", "restored"))
    has_money = kind in ("paid", "waived", "adjusted")
    fine_id = _some_fine(random, first)
    return change(
        change_id=f"C-{random.randrange(200)}",
        fine_id=fine_id,
        kind=kind,
        amount=f"{random.randint(1, 60)}" if has_money else ABSENT,
        currency=_mostly(random, _currency(fine_id)) if has_money else ABSENT,
        changed_at=f"2026-09-02T10:0{random.randrange(3)}:00Z",
    )


def _mostly(random: Random, currency: str) -> str:
    return currency if random.random() < 0.95 else "EUR"


def _payment(random: Random, first: int, exported: Exported) -> Record:
    payment_id = f"PAY-{random.randrange(PAYMENTS)}"
    kind = random.choices(("payment", "reversal", "write_off", "status"), (60, 20, 10, 10))[0]
    if kind == "reversal":
        return _reversal(random, payment_id)
    fine_id = _some_fine(random, first)
    references: dict[str, object] = {"fine_id": fine_id}
    if random.random() < 0.3:
        line = random.choice((random.choice(exported.lines), "9"))
        references = {"fine_id": random.choice((fine_id, ABSENT)), "bursar_transaction_id": line}
    has_money = kind != "status"
    return payment(
        payment_id=payment_id,
        kind=kind,
        **references,
        amount=f"{random.randint(1, 100)}" if has_money else ABSENT,
        currency=_mostly(random, _currency(fine_id)) if has_money else ABSENT,
        status_code=ABSENT if has_money else random.choice(("invoiced", "storno")),
    )


def _sum(random: Random) -> Record:
    return payment(
        payment_id=f"PAY-{random.randrange(PAYMENTS)}",
        fine_id=ABSENT,
        patron_id=f"P-{random.randrange(PATRONS + 2)}",
        amount=f"{random.randint(1, 300)}",
        currency=random.choice(("USD", "USD", "JPY")),
    )


def _reversal(random: Random, payment_id: str) -> Record:
    """Of a payment nearby, whole or in part, so that chains and several parts come up."""
    original = (int(payment_id.removeprefix("PAY-")) + random.randint(1, 40)) % PAYMENTS
    is_part = random.random() < 0.5
    return payment(
        payment_id=payment_id,
        kind="reversal",
        reverses_payment_id=f"PAY-{original}",
        fine_id=ABSENT,
        amount=f"{random.randint(1, 40)}" if is_part else ABSENT,
        currency=random.choice(("JPY", "USD", "USD")) if is_part else ABSENT,
    )


def _response(random: Random, exported: Exported) -> Record:
    profile, number = random.choice(exported.batches)
    outcome = random.choices(("accepted", "partial", "refused"), (5, 10, 1))[0]
    lines = [
        {"bursar_transaction_id": line, "reason": "no such student"}
        for line in random.sample(list(exported.lines), 1)
    ]
    return response(
        response_id=f"R-{random.randrange(60)}",
        profile=profile,
        batch_number=number if random.random() < 0.9 else 99,
        outcome=outcome,
        reason="unreadable" if outcome == "refused" else ABSENT,
        refused_lines=lines if outcome == "partial" else ABSENT,
        control={"count": 1, "total": "1"} if random.random() < 0.2 else ABSENT,
    )


def _bad(random: Random) -> Record:
    contract = random.choice(("fine-created.v1", "fine-changed.v1", "bursar-payment.v1"))
    return record(contract, random.choice(BAD_VALUES))
