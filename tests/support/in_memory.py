"""A ledger in memory that lives through steps, and what tests of the rules compare of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.core.amendment import Amendment
from service.core.changes import Transaction
from service.core.events import Incoming
from service.core.ledger import Account, AccountKey, Fine, FineKey, LineKey, SourceKey
from service.core.workspace import Changes
from tests.support.given import ERP, UNI, Export
from tests.support.view_store import Store, sound

Step = Incoming | Export


class Ledger:
    """A ledger that lives through steps, each a commit of its own."""

    def __init__(self, *steps: Step) -> None:
        self.store = Store()
        for step in steps:
            self.take(step)

    def take(self, step: Step) -> Changes:
        if not isinstance(step, Export):
            return self.store.fold(step)
        done = self.store.fold(*step.fines)
        self.store.seal(step.batch, step.currency)
        return done

    def fine(self, fine_id: str = "F1", institution: str = UNI) -> Fine:
        return self.store.fines[FineKey(institution, fine_id)]

    def account(self, patron: str = "P1", currency: str = "USD", institution: str = UNI) -> Account:
        key = AccountKey(institution, patron, currency)
        return self.store.accounts.get(key, Account(key))

    def line_state(self, line: str) -> str:
        return self.store.lines[LineKey(UNI, line)].state

    def payment_state(self, payment_id: str = "p1") -> str:
        return self.store.payments[SourceKey(UNI, ERP, payment_id)].state

    def waits(self) -> dict[str, str]:
        """What each parked record waits for, by its own id, oldest first."""
        return {item.event.key.id: item.wait.value for item in self.store.parked.values()}

    def reasons(self) -> list[str]:
        return [rejection.reason.value for rejection in self.store.rejections]


def outcome_of_event(done: Changes) -> str:
    """The one outcome counted for the one event of a fold; unparked ones are counted apart."""
    outcomes = [name for name in done.outcomes if not name.startswith("unparked:")]
    assert len(outcomes) == 1
    assert done.outcomes[outcomes[0]] == 1
    return outcomes[0]


def check_applied(
    ledger: Ledger,
    event: Step,
    state: "Now",
    posted: Sequence["Movement"],
    outcome: str = "applied",
) -> Changes:
    """The event makes these transactions, and leaves the fine F1 and its account in this state."""
    done = ledger.take(event)
    assert outcome_of_event(done) == outcome
    assert [moved(line) for line in done.transactions] == list(posted)
    assert now(ledger) == state
    assert done.rejections == ()
    sound(ledger.store)
    return done


def check_not_applied(ledger: Ledger, event: Step, outcome: str) -> None:
    """The event has this outcome and moves nothing; only rejections and parked records grow.

    A change may leave its instant, though (rules.md, 2b).
    """
    before = ledger.store.copy()
    done = ledger.take(event)
    assert outcome_of_event(done) == outcome
    assert done.transactions == ()
    assert ledger.store.accounts == before.accounts
    assert but_instants(ledger.store) == but_instants(before)
    assert ledger.store.lines == before.lines
    assert len(ledger.reasons()) - len(before.rejections) == outcome.startswith("rejected")
    assert len(ledger.waits()) - len(before.parked) == outcome.startswith("parked")


def but_instants(store: Store) -> dict[FineKey, Fine]:
    """The fines without the instants that a rejected change may leave."""
    return {
        key: replace(fine, amendment=Amendment(fine.amendment.amount))
        for key, fine in store.fines.items()
    }


Movement = tuple[str, int, int, int]


def moved(line: Transaction) -> Movement:
    """(kind, amount, change of active, change of transferred)."""
    return (
        line.kind.value,
        line.amount,
        line.after.active - line.before.active,
        line.after.transferred - line.before.transferred,
    )


@dataclass(frozen=True, slots=True)
class Now:
    """A fine and its account after an event."""

    status: str
    considered: str
    remaining: int = 0
    outstanding: int = 0
    active: int = 0
    transferred: int = 0


def open_(remaining: int, status: str = "Active") -> Now:
    """Collected by the library: all of it on the active balance."""
    return Now(status, "active", remaining, active=remaining)


def closed(active: int = 0) -> Now:
    return Now("Closed", "closed", active=active)


def transferred(outstanding: int, *, active: int = 0) -> Now:
    """At the bursar; considered closed when nothing is outstanding there."""
    considered = "active" if outstanding else "closed"
    return Now("Transferred", considered, 0, outstanding, active, outstanding)


def now(ledger: Ledger, fine_id: str = "F1") -> Now:
    fine = ledger.fine(fine_id)
    account = ledger.account(fine.facts.patron_id, fine.facts.currency)
    return Now(
        fine.status.value,
        fine.considered.value,
        fine.remaining,
        fine.outstanding,
        account.active,
        account.transferred,
    )
