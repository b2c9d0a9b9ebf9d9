"""Generated histories of one institution, and how often the laws are tried on them."""

import os
from collections.abc import Sequence

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from service.core.events import Incoming
from service.core.ledger import Fine
from service.core.shares import LumpRule
from tests.laws.sums import SETTINGS
from tests.laws.writer import Move, Writer
from tests.support.given import (
    UNI,
    Export,
)
from tests.support.in_memory import Ledger, Step
from tests.support.view_store import Store

# The suite's own share, what `make laws` asks for, and what `make test-fast` has the time for.
EXAMPLES = {"thorough": 20_000, "quick": 60, "mutation": 20}.get(
    os.environ.get("HYPOTHESIS_PROFILE", ""), 150
)
law = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

VERBS = (
    *("create",) * 4,
    *("change",) * 2,
    *("pay",) * 4,
    "write_off",
    "status",
    *("reverse",) * 3,
    *("export",) * 4,
    *("respond",) * 2,
    "repeat",
)


def move(number: int) -> Move:
    """One draw instead of five: drawing is the larger part of a law's time."""
    number, verb = divmod(number, len(VERBS))
    number, fine = divmod(number, 8)
    number, identity = divmod(number, 8)
    variant, amount = divmod(number, 6)
    return VERBS[verb], fine, identity, amount, variant


MOVE = st.integers(0, len(VERBS) * 8 * 8 * 6 * 12 - 1).map(move)
# Lists alone would be short ones, five moves on average.
MOVES = st.lists(MOVE, max_size=40) | st.lists(MOVE, min_size=20, max_size=40)


def written(moves: Sequence[Move], institution: str = UNI, prefix: str = "") -> Writer:
    first_line = 1001 if not prefix else 1001 + 100_000 * ord(prefix[0])
    writer = Writer(institution, prefix, first_line)
    for move in moves:
        writer.write(move)
    return writer


histories = st.builds(written, MOVES)


def move_or_sum(number: int) -> Move:
    """A move as above, or a sum that names a patron alone: about one of ten."""
    number, choice = divmod(number, 10)
    _, fine, identity, amount, variant = drawn = move(number)
    return drawn if choice else ("sum", fine, identity, amount, variant)


MOVE_OR_SUM = st.integers(0, len(VERBS) * 8 * 8 * 6 * 12 * 10 - 1).map(move_or_sum)
MOVES_AND_SUMS = st.lists(MOVE_OR_SUM, max_size=40) | st.lists(
    MOVE_OR_SUM, min_size=20, max_size=40
)
histories_with_sums = st.builds(written, MOVES_AND_SUMS)


def new_store() -> Store:
    """An empty ledger of institutions that let sums pay the oldest fines first."""
    return Store(lump_rules={name: LumpRule(rule) for name, rule in SETTINGS.items()})


def new_ledger() -> Ledger:
    """The same, to live through steps."""
    ledger = Ledger()
    ledger.store = new_store()
    return ledger


def live(store: Store, steps: Sequence[Step]) -> Store:
    """Each step a commit of its own."""
    for step in steps:
        commit(store, [step])
    return store


def commit(store: Store, steps: Sequence[Step]) -> None:
    """Records together, as one poll; an export always alone, as its job does."""
    if isinstance(steps[0], Export):
        (export,) = steps
        assert isinstance(export, Export)
        store.fold(*export.fines)
        store.seal(export.batch, export.currency)
    else:
        store.fold(*records(steps))


def records(steps: Sequence[Step]) -> list[Incoming]:
    return [step for step in steps if not isinstance(step, Export)]


def shape(fine: Fine) -> tuple[str, str, int, int, str | None, int, int]:
    """What the oracle knows of a fine as well."""
    return (
        fine.status.value,
        fine.considered.value,
        fine.remaining,
        fine.outstanding,
        fine.bursar_transaction_id,
        fine.payments_live,
        fine.amount,
    )
