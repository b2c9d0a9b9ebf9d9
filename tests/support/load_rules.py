"""The rules of the mixed load: institutions, profiles and currencies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from service.core.events import ExportFine
from service.core.ledger import BatchKey, FineKey
from service.core.terms import Terms
from service.core.words import LibraryPayments, Mode, Overpayment, ProfileCode
from tests.oracle.exporting import waits_for_fine
from tests.oracle.model import Model
from tests.oracle.records import Data
from tests.oracle.tables import FineId
from tests.support.given import Export

OVERDUE, LOST, SERVICE, CREDIT = "OVERDUEFINE", "LOSTITEMREPLACEMENTFEE", "LIBRARYSERVICE", "CREDIT"


TYPES = (OVERDUE, LOST, SERVICE, CREDIT, "IN_NO_PROFILE")
CURRENCIES = {"1001": "USD", "1002": "EUR", "1003": "JPY"}
CUTOFF = datetime(2026, 9, 1, tzinfo=UTC)  # no rule of the oracle depends on it
LUMP_PAYMENTS = {"1001": "oldest_first", "1002": "hold", "1003": "oldest_first"}
OVERPAYMENT = {"1001": "credit", "1002": "reject", "1003": "hold"}
LIBRARY_PAYMENTS = {"1001": "credit", "1002": "reject", "1003": "credit"}


@dataclass(frozen=True)
class Rules:
    """The types of fines that a profile exports, and the terms that the fines keep."""

    types: frozenset[str]
    terms: Terms

    @property
    def profile(self) -> str:
        return self.terms.profile


def _rules(institution: str) -> tuple[Rules, ...]:
    """In the order of their runs: a credit of a lost fine waits, because it goes by `main`."""
    main, lost, only = (ProfileCode(f"{name}_{institution}") for name in ("main", "lost", "only"))
    overpayment = Overpayment(OVERPAYMENT[institution])
    credits_by = LibraryPayments(LIBRARY_PAYMENTS[institution])
    both, alone = Mode.EXPORT_IMPORT, Mode.EXPORT_ONLY
    return (
        Rules(
            frozenset({OVERDUE, CREDIT}),
            Terms(main, both, overpayment=overpayment, library_payments=credits_by),
        ),
        Rules(
            frozenset({LOST}),
            Terms(lost, both, close_paid_lost_loan=True, library_payments=credits_by),
        ),
        Rules(frozenset({SERVICE}), Terms(only, alone, library_payments=credits_by)),
    )


RULES: Mapping[str, tuple[Rules, ...]] = {name: _rules(name) for name in CURRENCIES}


def export_of(manifest: Data) -> Export:
    """The batch that a manifest describes, under the terms of its profile."""
    institution, profile = manifest["institution_id"], manifest["profile"]
    (terms,) = (rules.terms for rules in RULES[institution] if rules.profile == profile)
    key = BatchKey(institution, profile, manifest["batch_number"])
    fines = tuple(
        ExportFine(
            FineKey(institution, line["fine_id"]), key, line["bursar_transaction_id"], terms, CUTOFF
        )
        # The run decides on credits after the fines.
        for line in sorted(manifest["lines"], key=lambda line: line["amount"].startswith("-"))
    )
    return Export(key, CURRENCIES[institution], fines)


def due_fines(model: Model, institution: str, rules: Rules) -> list[FineId]:
    """What a run of the profile exports now."""
    sent_back = {(home, row["fine"]) for (home, _), row in model.lines.items() if row["refused"]}
    active = [
        name
        for name, fine in model.fines.items()
        if name[0] == institution and fine["status"] == "Active" and fine["type"] in rules.types
        if name not in sent_back
    ]
    leaving, only = {fine_id for _, fine_id in active}, rules.terms.mode is Mode.EXPORT_ONLY
    return [name for name in active if not waits_for_fine(model, name, only, leaving)]


def profiles() -> str:
    """The configuration that RULES are the other reading of."""
    return "\n".join(_institution(name) for name in CURRENCIES)


def _institution(name: str) -> str:
    head = f'[[institution]]\nid = "{name}"\nzone = "Europe/Vienna"\n'
    return f'{head}lump_payments = "{LUMP_PAYMENTS[name]}"\n' + "".join(
        f'[[profile]]\ncode = "{rules.profile}"\nname = "{rules.profile}"\ninstitution = "{name}"\n'
        f'mode = "{rules.terms.mode}"\n'
        f'currency = "{CURRENCIES[name]}"\nmatch = "02"\nfines_max = 500\n'
        f'overpayment = "{rules.terms.overpayment}"\n'
        f'library_payments = "{rules.terms.library_payments}"\n'
        f"close_paid_lost_loan = {json.dumps(rules.terms.close_paid_lost_loan)}\n"
        f"fine_types = {json.dumps(sorted(rules.types - {CREDIT}))}\n"
        f"credits = {{ included = {json.dumps(CREDIT in rules.types)} }}\n"
        for rules in RULES[name]
    )


def money(minor: int, institution: str) -> str:
    if CURRENCIES[institution] == "JPY":
        return str(minor)
    sign, minor = ("-" if minor < 0 else ""), abs(minor)
    return f"{sign}{minor // 100}.{minor % 100:02}"


def minor(amount: str, institution: str) -> int:
    return int(amount if CURRENCIES[institution] == "JPY" else amount.replace(".", ""))
