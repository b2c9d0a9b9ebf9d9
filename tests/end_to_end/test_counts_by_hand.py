"""A count by hand equals the metrics: bad and odd records, two instances, and commands."""

from __future__ import annotations

import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from itertools import count

import aiohttp
import pytest

from tests.support import inputs
from tests.support.inputs import ABSENT, Data, Headers
from tests.support.installation import institution, profile
from tests.support.process import Site
from tests.support.topics import produce

FINE, CHANGE = "fine-created.v1", "fine-changed.v1"
PAYMENT, RESPONSE = "bursar-payment.v1", "export-response.v1"
PROFILES = (
    institution()
    + profile("hand", fine_types=["BYHAND"])
    + profile("rejects", fine_types=["REJECTS"], overpayment="reject")
    + profile("oneway", fine_types=["ONEWAY"], mode="export_only")
    + profile("timed", fine_types=["TIMED"], interval_seconds=5)
)
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
Labels = tuple[str, ...]
Case = tuple[str, str, object]  # contract, what comes of it, the record
numbers = count(1)


def new(prefix: str) -> str:
    """An id that nothing had before."""
    return f"{prefix}-{next(numbers)}"


def fine(fine_id: str, kind: str = "BYHAND", **more: object) -> Data:
    members = {"fine_id": fine_id, "type": kind, "amount": "50.00", "loan_id": ABSENT, **more}
    return inputs.fine_created(**members)


def change(fine_id: str, **more: object) -> Data:
    return inputs.fine_changed(**{"change_id": new("C"), "fine_id": fine_id, **more})


def paid(fine_id: object, amount: object = "50.00", **more: object) -> Data:
    members = {"payment_id": new("PAY"), "fine_id": fine_id, "amount": amount, **more}
    return inputs.bursar_payment(**members)


def reversal(fine_id: str, of: str, amount: str = "50.00") -> Data:
    return paid(fine_id, amount, kind="reversal", reverses_payment_id=of)


def answer(**more: object) -> Data:
    return inputs.export_response(**{"response_id": new("R"), "profile": "hand", **more})


def first_phase() -> Iterator[Case]:
    """Fines, and what the contract refuses of any topic."""
    for number in range(1, 81):
        yield FINE, "applied", fine(f"H-{number}")
    yield from ((FINE, "applied", fine(f"T-{number}", "TIMED")) for number in range(1, 11))
    for kind, name in (("REJECTS", "R"), ("ONEWAY", "O"), ("NOBODY", "N")):
        for number in range(1, 6):
            yield FINE, "applied", fine(f"{name}-{number}", kind)
    for contract, data in ((FINE, fine("X")), (CHANGE, change("X")), (PAYMENT, paid("X"))):
        yield contract, "invalid_json", b"{"
        yield contract, "invalid_json", b"\xff"
        yield contract, "invalid_schema", data | {"institution_id": 6050}
        yield contract, "invalid_amount", data | {"amount": 5}
        yield contract, "invalid_amount", data | {"amount": "5.001"}
        yield contract, "invalid_currency", data | {"currency": "XXQ"}
        yield contract, "invalid_size", b'{"a": "' + b"x" * 70_000 + b'"}'
        yield contract, "invalid_envelope", None
    yield FINE, "invalid_text", fine("bell\u0007")
    yield RESPONSE, "invalid_json", b"["
    yield RESPONSE, "invalid_schema", answer() | {"outcome": "perhaps"}
    yield RESPONSE, "invalid_envelope", None


def second_phase() -> Iterator[Case]:
    """Before the export: conflicts, changes at the desk, payments that are too early."""
    for number in range(1, 6):
        yield FINE, "repeat", fine(f"H-{number}")
        yield FINE, "fine_conflict", fine(f"H-{number}") | {"comment": "another"}
    yield CHANGE, "applied", change("N-3", change_id="same")
    yield CHANGE, "change_conflict", change("N-3", change_id="same", amount="11.00")
    yield CHANGE, "exceeds_remaining", change("N-1", amount="70.00")
    yield CHANGE, "currency_mismatch", change("N-1", currency="EUR")
    yield CHANGE, "applied", change("N-2", kind="cancelled", amount=ABSENT, currency=ABSENT)
    yield CHANGE, "no_change", change("N-1", kind="restored", amount=ABSENT, currency=ABSENT)
    yield CHANGE, "applied", change("N-4", kind="adjusted", amount="60.00")
    yield CHANGE, "overtaken", change("N-4", kind="adjusted", changed_at="2026-09-01T10:00:00Z")
    early = [paid("H-1", "60.00") for _ in range(3)]  # the export sets them free
    for data in early:
        yield PAYMENT, "parked:not_exported", data
    yield PAYMENT, "parked:not_exported", paid("H-2", "60.00", kind="write_off")
    yield from ((PAYMENT, "parked:unknown_fine", paid("unknown")) for _ in range(4))
    yield PAYMENT, "parked:unknown_original", reversal("H-3", "of nothing")


def third_phase(lines: Mapping[str, str]) -> Iterator[Case]:
    """After the export: answers, payments, what the rules refuse of them. `lines`: their ids."""
    yield CHANGE, "already_exported", change("H-4")
    yield CHANGE, "already_closed", change("N-2")
    yield FINE, "repeat:already_closed", fine("N-2", "NOBODY")
    for number in range(5, 25):
        yield PAYMENT, "applied", paid(f"H-{number}", "50.00" if number % 2 else "51.50")
    for number in range(1, 4):
        yield PAYMENT, "overpaid", paid(f"R-{number}", "51.00")
        yield PAYMENT, "import_not_active", paid(f"O-{number}")
    yield PAYMENT, "currency_mismatch", paid("H-25", currency="EUR")
    yield PAYMENT, "exceeds_outstanding", paid("H-25", "51.00", kind="write_off")
    yield PAYMENT, "unknown_line", paid(ABSENT, bursar_transaction_id="9999999999999999")
    yield PAYMENT, "reference_mismatch", paid("H-25", bursar_transaction_id=lines["H-26"])
    yield PAYMENT, "applied", paid("H-26", payment_id="once")
    yield PAYMENT, "repeat", paid("H-26", payment_id="once")
    yield PAYMENT, "payment_conflict", paid("H-26", "49.00", payment_id="once")
    yield PAYMENT, "amount_mismatch", reversal("H-26", "once", "51.00")
    yield PAYMENT, "applied", reversal("H-26", "once", "20.00")
    yield PAYMENT, "amount_mismatch", reversal("H-26", "once", "31.00")
    yield PAYMENT, "applied", reversal("H-26", "once", "30.00")
    yield PAYMENT, "already_reversed", reversal("H-26", "once")
    yield PAYMENT, "overpaid", paid("R-4", "51.00", payment_id="too much")
    yield PAYMENT, "original_rejected", reversal("R-4", "too much", "51.00")
    status = {"kind": "status", "currency": ABSENT, "status_code": "A", "payment_id": "status"}
    yield PAYMENT, "noted", paid("H-27", ABSENT, **status)
    yield PAYMENT, "not_reversible", reversal("H-27", "status")
    yield RESPONSE, "unknown_batch", answer(batch_number=99)
    yield RESPONSE, "control_total_mismatch", answer(control={"count": 1, "total": "1.00"})
    yield RESPONSE, "unknown_line", answer(outcome="partial", refused_lines=refused("77"))
    yield RESPONSE, "already_paid", answer(outcome="refused", reason="all")
    yield RESPONSE, "applied", answer(profile="rejects", response_id="first")
    yield (
        RESPONSE,
        "response_conflict",
        answer(profile="rejects", response_id="first", batch_number=2),
    )
    partly = {"profile": "oneway", "outcome": "partial", "refused_lines": refused(lines["O-1"])}
    yield RESPONSE, "applied", answer(**partly)
    yield RESPONSE, "not_live", answer(**partly)


def refused(line: str) -> list[Data]:
    return [{"bursar_transaction_id": line, "reason": "unknown_patron"}]


def headers_of(contract: str, data: object) -> Headers:
    """None as data: an event of another type."""
    headers = inputs.binary(contract, {})[1]
    if data is not None:
        return headers
    return tuple((name, b"other" if name == "ce_type" else text) for name, text in headers)


async def send(site: Site, cases: list[Case], before: int) -> int:
    """Sends them, and waits until they are applied; how many there were so far."""
    groups: dict[tuple[str, Headers], list[tuple[bytes, bytes]]] = defaultdict(list)
    for number, (contract, _, data) in enumerate(cases):
        value, _ = inputs.binary(contract, {} if data is None else data)
        key = b"%d" % number if before == 0 else contract.encode()  # the others in their order
        groups[contract, headers_of(contract, data)].append((key, value))
    for (contract, headers), records in groups.items():
        topic = site.topic(contract)
        await asyncio.to_thread(produce, site.servers, topic, records, "murmur2_random", headers)
    await site.until_idle(before + len(cases))
    return before + len(cases)


async def metrics_of(site: Site, *names: str) -> Counter[tuple[str, Labels]]:
    """The sum over the instances, by name and the values of the labels."""
    result: Counter[tuple[str, Labels]] = Counter()
    async with aiohttp.ClientSession() as session:
        for name in names:
            lines = site.log(name)
            port = next(line["port"] for line in lines if line["event"] == "ops_listening")
            async with session.get(f"http://127.0.0.1:{port}/metrics") as response:
                for metric, labels, value in SAMPLE.findall(await response.text()):
                    values = tuple(re.findall(r'="([^"]*)"', labels))
                    result[metric, values] += round(float(value))
    return +result


def only(result: Counter[tuple[str, Labels]], metric: str) -> dict[Labels, float]:
    return {labels: value for (name, labels), value in result.items() if name == metric}


@pytest.fixture
async def site(site: Site) -> Site:
    site.settings = {"BURSAR_EXPORT_CHECK_SECONDS": "1"}
    site.write_profiles(PROFILES)
    await site.command("topics", "create", "--partitions", "2")
    return site


def counted_by_hand(
    site: Site, phases: list[list[Case]]
) -> tuple[Counter[Labels], Counter[Labels]]:
    """Rejected records by topic and reason, and all records by their outcome."""
    by_hand: Counter[Labels] = Counter()
    outcomes: Counter[Labels] = Counter()
    for contract, outcome, _ in (case for phase in phases for case in phase):
        is_rejected = outcome not in ("applied", "repeat", "noted") and ":" not in outcome
        outcomes[(f"rejected:{outcome}" if is_rejected else outcome,)] += 1
        if is_rejected:
            by_hand[site.topic(contract), outcome] += 1
    by_hand[site.topic(PAYMENT), "exceeds_outstanding"] += 1  # parked, and set free by the export
    by_hand[site.topic(PAYMENT), "discarded"] += 4
    return by_hand, outcomes


def check_logged(site: Site, by_hand: Counter[Labels]) -> None:
    """Each rejected record is in one log line."""
    logged: Counter[Labels] = Counter()
    for line in (line for name in ("one", "two") for line in site.log(name)):
        if line["event"] == "event_rejected":
            logged[str(line["topic"]), str(line["reason"])] += int(str(line["records"]))
    assert logged == by_hand, "each rejected record is told once"


@pytest.mark.slow  # tests/database/test_tally.py is its small form
async def test_the_sums_over_the_instances_are_those_of_a_count_by_hand(site: Site) -> None:
    phases = [list(first_phase()), list(second_phase())]
    await asyncio.gather(site.start("one"), site.start("two"))
    records = await send(site, phases[0], 0)
    records = await send(site, phases[1], records)
    await site.command("export", "run", "--profile", "hand", "--profile", "rejects")
    await site.command("export", "run", "--profile", "oneway")
    rows = await site.rows("SELECT fine_id, bursar_transaction_id AS line FROM export_line")
    phases.append(list(third_phase({str(row["fine_id"]): str(row["line"]) for row in rows})))
    records = await send(site, phases[2], records)
    assert records >= 200
    discard = ("parked", "discard", "--all", "--yes", "--reason", "a test")
    await site.command(*discard, "--wait", "unknown_fine", "--institution", "6050")

    by_hand, outcomes = counted_by_hand(site, phases)

    async def is_counted() -> bool:
        """The counts of the commands are taken over, and the scheduled runs have come by."""
        (row,) = await site.rows(
            "SELECT (SELECT count(*) FROM command_tally) AS tallies,"
            " (SELECT sum(fine_count) FROM export_batch) AS fines"
        )
        return row == {"tallies": 0, "fines": 100}

    await site.until(is_counted, 60)
    result = await metrics_of(site, "one", "two")
    rejected = await site.rows("SELECT topic, reason, count(*) AS n FROM rejected GROUP BY 1, 2")
    assert {(row["topic"], row["reason"]): row["n"] for row in rejected} == by_hand
    of_reason = {(reason, topic): count for (topic, reason), count in by_hand.items()}
    assert only(result, "bursar_rejected_total") == of_reason  # labels are shown in this order
    assert only(result, "bursar_record_outcomes_total") == outcomes
    assert sum(only(result, "bursar_records_total").values()) == records
    (batches,) = await site.rows("SELECT count(*) AS n, sum(fine_count) AS fines FROM export_batch")
    assert sum(only(result, "bursar_batches_sealed_total").values()) == batches["n"]
    assert only(result, "bursar_fines_exported_total") == {
        ("hand",): 80,
        ("rejects",): 5,
        ("oneway",): 5,
        ("timed",): 10,
    }
    assert batches["fines"] == 100
    # Three payments of 60.00 on a fine of 50.00 leave 130.00 over.
    assert only(result, "bursar_credits_made_total") == {("USD",): 3 + 10}
    assert only(result, "bursar_credits_made_minor_units_total") == {("USD",): 13_000 + 10 * 150}
    assert only(result, "bursar_unparked_total") == {("not_exported",): 4}
    check_logged(site, by_hand)
    await site.stop_all()
    await check_says_what_did_not_happen(site)


async def check_says_what_did_not_happen(site: Site) -> None:
    """In words, once nothing runs any more and time has passed."""
    times = {"profile_seen": "since", "export_run": "cutoff", "export_run_end": "ended_at"}
    for table, column in times.items():
        await site.rows(f"UPDATE {table} SET {column} = {column} - interval '3 hours'")
    await site.rows("DELETE FROM source_seen")
    await site.rows(
        "INSERT INTO source_seen VALUES"
        " ('6050', 'fine-changed.v1', 'ALMA', now() - interval '20 days'),"
        " ('6050', 'fine-created.v1', 'any', now() - interval '21 days')"
    )
    await site.rows("ALTER TABLE export_batch DISABLE TRIGGER USER")
    await site.rows("UPDATE export_batch SET sealed_at = sealed_at - interval '16 days'")
    result = await site.command("check")
    for line in (
        "timed: a run is overdue: last run ended 3h",
        "timed: batch 1: no response and no payment for 16 days",
        "fine-changed.v1: source ALMA of 6050 has sent nothing for 20 days",
        "fine-created.v1: institution 6050 has sent nothing for 21 days",
    ):
        assert line in result, result
    assert re.search("(hand|rejects): batch", result) is None, "paid, or answered"
