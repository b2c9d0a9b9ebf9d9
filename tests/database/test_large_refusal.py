"""A batch of as many lines as a profile allows comes back refused."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from service.export.batch import Limits
from service.messages.decode import RECORD_BYTES_MAX
from tests.support.inputs import export_response
from tests.support.installation import institution, profile
from tests.support.write_path import (
    Record,
    Row,
    WritePath,
    fine,
    outbox_of,
    profile_of,
    profiles_of,
    record,
    response,
)

LINES_MAX = 10_000
LINES = 2_500
OF_EACH = 4
POLL = 2_000
REFUSING_KB_MAX = 20  # for each line
PROFILE = institution() + profile()
BALANCES = "SELECT patron_id, active, transferred FROM account ORDER BY patron_id"
FINES = "SELECT DISTINCT status, line, remaining = amount AS whole, outstanding FROM fine"
# Every row that a whole refusal writes, by the transaction that wrote it.
COMMITS = """
SELECT xmin::text AS one, count(*) AS written FROM (
    SELECT xmin FROM ledger_transaction WHERE kind = 'export_rejected'
    UNION ALL SELECT xmin FROM fine
    UNION ALL SELECT xmin FROM export_line
    UNION ALL SELECT xmin FROM account
    UNION ALL SELECT xmin FROM export_batch
    UNION ALL SELECT xmin FROM export_response
    UNION ALL SELECT xmin FROM consumer_offset WHERE topic LIKE '%.export-response.v1'
    UNION ALL SELECT xmin FROM outbox
) AS row (xmin)
GROUP BY one
"""


@pytest.mark.parametrize("lines", [LINES, pytest.param(LINES_MAX, marks=pytest.mark.slow)])
async def test_a_refused_batch_of_many_lines_is_one_commit_in_bounded_memory(
    path: WritePath, lines: int
) -> None:
    await path.take_in_polls(list(fines(lines)), POLL)
    before = await path.rows(BALANCES)
    await export(path)
    assert await path.value("SELECT fine_count FROM export_batch") == lines
    assert sum(map(transferred, await path.rows(BALANCES))) == sum(range(1, lines + 1))
    await path.pool.execute("TRUNCATE outbox")
    poll = await path.poll([response(outcome="refused", reason="no such term")])

    tracemalloc.start()
    try:
        report = await path.apply(poll)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most < lines * REFUSING_KB_MAX * 1024
    assert report.transactions == lines
    assert await path.rows(BALANCES) == before
    assert await path.rows(FINES) == [
        {"status": "Active", "line": None, "whole": True, "outstanding": 0}
    ]
    assert await path.rows("SELECT DISTINCT state, reason FROM export_line") == [
        {"state": "refused", "reason": "no such term"}
    ]
    assert await path.value("SELECT state FROM export_batch") == "refused"
    assert len(await outbox_of(path.pool, "balance-changed.v1")) == lines
    outbox_rows = await path.value("SELECT count(*) FROM outbox")
    assert isinstance(outbox_rows, int)
    (commit,) = await path.rows(COMMITS)
    assert commit["written"] == 3 * lines + len(before) + 3 + outbox_rows
    assert (
        await path.value(
            "SELECT count(DISTINCT recorded_at) FROM ledger_transaction"
            " WHERE kind = 'export_rejected'"
        )
        == 1
    )


async def test_lines_are_refused_by_name_in_as_many_responses_as_their_records_need(
    path: WritePath,
) -> None:
    lines = 3_000
    await path.take_in_polls(list(fines(lines)), POLL)
    before = await path.rows(BALANCES)
    await export(path)
    rows = await path.rows("SELECT bursar_transaction_id AS id FROM export_line ORDER BY id")
    ids = [str(row["id"]) for row in rows]
    most = as_many_as_fit(ids)
    assert 500 < most < lines / 2

    await path.take(naming(ids[: most + 1], "too large"))
    assert await path.rows("SELECT reason, detail FROM rejected") == [
        {"reason": "invalid_size", "detail": f"record: must have at most {RECORD_BYTES_MAX} bytes"}
    ]
    assert await path.value("SELECT count(*) FROM export_line WHERE state = 'live'") == lines

    await path.take(naming(ids[:most], "first"))
    assert await path.value("SELECT state FROM export_batch") == "partly_refused"
    assert await path.value("SELECT count(*) FROM fine WHERE status = 'Active'") == most

    rest = [ids[start : start + most] for start in range(most, lines, most)]
    await path.take(*(naming(part, f"more-{n}") for n, part in enumerate(rest)))
    assert await path.value("SELECT state FROM export_batch") == "refused"
    assert await path.rows(BALANCES) == before


def fines(count: int) -> Iterator[Record]:
    """The n-th of n cents; `OF_EACH` to a patron."""
    for n in range(count):
        number = n // OF_EACH
        patron = {
            "patron_id": f"P-{number:05}",
            "name": "Doe, Jane",
            "user_group": "STUDENT",
            "identifiers": [{"type": "02", "value": f"A{number}"}],
        }
        amount = f"{(n + 1) // 100}.{(n + 1) % 100:02}"
        yield fine(fine_id=f"F-{n:05}", patron=patron, amount=amount, loan_id=f"L-{n}")


async def export(path: WritePath) -> None:
    """Everything in one batch, however many bytes that takes."""
    profiles = profiles_of(PROFILE)
    limits = Limits(LINES_MAX, bytes_max=100_000_000)
    profile = replace(profile_of(profiles, "bursar"), limits=limits)
    assert await path.exports(profiles).run_profile(profile) == 1


def transferred(account: Row) -> int:
    result = account["transferred"]
    assert isinstance(result, int)
    return result


def naming(ids: Sequence[str], response_id: str) -> Record:
    """A response that refuses these lines, in as few bytes as JSON takes."""
    named = [{"bursar_transaction_id": item, "reason": "unknown student"} for item in ids]
    body = export_response(response_id=response_id, outcome="partial", refused_lines=named)
    return record("export-response.v1", json.dumps(body, separators=(",", ":")).encode())


def as_many_as_fit(ids: Sequence[str]) -> int:
    """Each line takes the same bytes more."""
    item, two = (len(naming(ids[:n], "0" * 9).value or b"") for n in (1, 2))
    return 1 + (RECORD_BYTES_MAX - item) // (two - item)
