"""The rules of the mixed load: institutions, profiles and currencies."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tests.support.model import Rules

OVERDUE, LOST, SERVICE, CREDIT = "OVERDUEFINE", "LOSTITEMREPLACEMENTFEE", "LIBRARYSERVICE", "CREDIT"


TYPES = (OVERDUE, LOST, SERVICE, CREDIT, "IN_NO_PROFILE")
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


def money(minor: int, institution: str) -> str:
    if CURRENCIES[institution] == "JPY":
        return str(minor)
    sign, minor = ("-" if minor < 0 else ""), abs(minor)
    return f"{sign}{minor // 100}.{minor % 100:02}"


def minor(amount: str, institution: str) -> int:
    return int(amount if CURRENCIES[institution] == "JPY" else amount.replace(".", ""))
