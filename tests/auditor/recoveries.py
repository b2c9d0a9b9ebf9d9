"""What recoveries have left out of the ledger: numbers, and events that were published again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Set

from tests.auditor.evidence import Evidence, Row
from tests.auditor.facts import AccountId, account_id


def left_out(evidence: Evidence) -> Mapping[AccountId, Set[int]]:
    """The numbers of each account that have no transaction: a lost database has used them, or an
    event has one of them that was published again.
    """
    numbers: dict[AccountId, set[int]] = defaultdict(set)
    for row in evidence.tables["recovery_account"]:
        of_account = numbers[account_id(row)]
        of_account.update(range(row["own_sequence"] + 1, row["raised_to"] + 1))
        if row["announced_sequence"] is not None:
            of_account.add(row["announced_sequence"])
    return numbers


def passed_over(sequence: int, numbers: Set[int]) -> int:
    """The last number before that of the next transaction behind `sequence`."""
    while sequence + 1 in numbers:
        sequence += 1
    return sequence


def published_again(evidence: Evidence) -> Mapping[tuple[object, ...], Row]:
    """The events that were published again, by account and sequence: each is the account's last
    transaction before it, under a number, an id and a time of its own.
    """
    transactions: dict[AccountId, list[Row]] = defaultdict(list)
    for row in evidence.tables["ledger_transaction"]:
        transactions[account_id(row)].append(row)
    again: dict[tuple[object, ...], Row] = {}
    for row in evidence.tables["recovery_account"]:
        account, sequence = account_id(row), row["announced_sequence"]
        earlier = [each for each in transactions[account] if each["sequence"] < (sequence or 0)]
        if earlier:
            again[*account, sequence] = {
                **max(earlier, key=lambda each: int(each["sequence"])),
                "sequence": sequence,
                "epoch": max(
                    (
                        each["epoch"]
                        for each in evidence.tables["recovery"]
                        if each["started_at"] <= row["announced_at"]
                    ),
                    default=row["epoch"],  # the clock of the database was set back since
                ),
                "transaction_id": row["announced_id"],
                "recorded_at": row["announced_at"],
            }
    return again
