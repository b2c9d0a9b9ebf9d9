"""I4: what readers get of each account is its transactions, once each, in order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha256

from tests.auditor.evidence import Data, Evidence, Finding, Record, Row, json_of
from tests.auditor.facts import AccountId, account_id
from tests.auditor.recoveries import published_again

CONTRACT = "balance-changed.v1"


class _Streams:
    """The events of all accounts, in the order of their topic."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._rows: dict[tuple[object, ...], Row] = {
            (*account_id(row), row["sequence"]): row
            for row in evidence.tables["ledger_transaction"]
        }
        self._rows.update(published_again(evidence))
        self._epoch = max((row["epoch"] for row in evidence.tables["recovery"]), default=1)
        self._values: dict[str, bytes | None] = {}
        self.by_account: dict[AccountId, dict[int, tuple[int, Data]]] = defaultdict(dict)

    def take(self, record: Record, event: Data) -> Iterator[Finding]:
        """Judges an event; raises what malformed ones do."""
        account, sequence, epoch = account_id(event), event["sequence"], event["epoch"]
        ids, ce_id = (*account, epoch, sequence), record.header("ce_id")
        if self._values.setdefault(ce_id, record.value) != record.value:
            yield Finding("I4", "a repeat says something else", ids)
        if ce_id != _ce_id(event):
            yield Finding("I4", "its ce_id is not made of account, epoch and sequence", ids)
        stream = self.by_account[account]
        if stream and sequence > max(stream) + 1 and _is_in_order(self._evidence, record):
            yield Finding("I4", "an event comes before one with a lower sequence", ids)
        if stream.get(sequence, (0,))[0] <= epoch:
            stream[sequence] = (epoch, event)
        row = self._rows.get((*account, sequence))
        if row is None:
            if epoch >= self._epoch:  # else a database has published it that was lost
                yield Finding("I4", "an event was published that is not recorded", ids)
        elif row["epoch"] == epoch:
            for member in _differing(event, row):
                yield Finding("I4", f"{member} is not as recorded", ids)


def judge_streams(evidence: Evidence) -> Iterator[Finding]:
    """What I4 has against the events of the accounts."""
    streams = _Streams(evidence)
    for record in evidence.published(CONTRACT):
        event = json_of(record.value)
        try:
            yield from streams.take(record, event or {})
        except (KeyError, TypeError, ValueError):
            yield Finding("I4", "a record is no event", record.place)
    yield from _judge_ends(evidence, streams.by_account)


def _is_in_order(evidence: Evidence, record: Record) -> bool:
    """Records that were in quarantine come later than others of their account, and those of a
    recovery have numbers that the lost database has used.
    """
    names = ("quarantine_release", "outbox_set_aside", "recovery")
    is_usual = not any(evidence.tables[name] for name in names)
    return record.partition >= 0 and is_usual and evidence.is_whole(CONTRACT)


def _ce_id(event: Data) -> str:
    text = "\n".join((*account_id(event), str(event["epoch"]), str(event["sequence"])))
    return sha256(text.encode()).hexdigest()[:32]


def _judge_ends(
    evidence: Evidence, streams: Mapping[AccountId, Mapping[int, tuple[int, Data]]]
) -> Iterator[Finding]:
    """No sequence is missing, and the last event says what the account has."""
    for row in evidence.tables["account"]:
        stream = streams.get(account_id(row), {})
        first = 1 if evidence.is_whole(CONTRACT) else min(stream, default=row["sequence"] + 1)
        missing = [n for n in range(first, row["sequence"] + 1) if n not in stream]
        for number in missing:
            yield Finding("I4", "an event is missing", (*account_id(row), number))
        if stream and not missing:
            number = max(stream, key=lambda each: (stream[each][0], each))
            _, last = stream[number]
            balance = (minor(last["balance"]["active"]), minor(last["balance"]["transferred"]))
            if (*balance, number) != (row["active"], row["transferred"], row["sequence"]):
                yield Finding("I4", "the last event is not the account", account_id(row))


def minor(amount: str) -> int:
    """An amount of an event: it has exactly the decimals of its currency."""
    return int(amount.replace(".", ""))


def _differing(event: Data, row: Row) -> list[str]:
    """The members that differ from the transaction."""
    moves = (row["active_change"], row["transferred_change"])
    balances = (row["active"], row["transferred"])
    before = tuple(after - move for after, move in zip(balances, moves, strict=True))
    transaction, fine = event["transaction"], event["fine"]
    pairs = {
        "balance": (_pair(event["balance"]), balances),
        "balance.total": (minor(event["balance"]["total"]), sum(balances)),
        "previous": (_pair(event["previous"]), before),
        "change": (_pair(event["change"]), moves),
        "transaction_id": (transaction["transaction_id"], row["transaction_id"]),
        "transaction.kind": (transaction["kind"], row["kind"]),
        "transaction.type": (transaction["type"], row["label"]),
        "transaction.amount": (minor(transaction["amount"]), row["amount"]),
        "fine_id": (fine["fine_id"], row["fine_id"]),
        "fine.status": (fine["status"], row["fine_status"]),
        "fine.considered": (fine["considered"], row["fine_considered"]),
        "fine.remaining": (minor(fine["remaining"]), row["fine_remaining"]),
        "fine.outstanding_at_bursar": (
            minor(fine["outstanding_at_bursar"]),
            row["fine_outstanding"],
        ),
        "occurred_at": (_instant(event["occurred_at"]), row["occurred_at"]),
        "recorded_at": (_instant(event["recorded_at"]), row["recorded_at"]),
    }
    return [member for member, (published, stored) in pairs.items() if published != stored]


def _pair(balance: Data) -> tuple[int, int]:
    return (minor(balance["active"]), minor(balance["transferred"]))


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
