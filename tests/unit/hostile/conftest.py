"""Ledgers for what people who do this job have really met.

Each group of tests here is a kind of input. The expected outcomes are those of docs/rules.md and
docs/contracts.md, and not what some function returns.
"""

from __future__ import annotations

import pytest

from tests.support.record_ledger import RecordLedger


@pytest.fixture
def ledger() -> RecordLedger:
    return RecordLedger()


@pytest.fixture
def exported(ledger: RecordLedger) -> RecordLedger:
    assert ledger.fine() == "applied"
    ledger.export()
    return ledger
