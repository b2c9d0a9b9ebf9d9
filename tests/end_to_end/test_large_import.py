"""A file of many lines: applied once, in flat memory, and imported again without effect.

BURSAR_IMPORT_LINES sets its size (1 500 unless told; 100 000 is what a release is tried with).
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

from tests.bench.ledgers import fill
from tests.bench.load import PROFILES
from tests.support.process import Site, end
from tests.support.programs import ROOT

LINES = int(os.environ.get("BURSAR_IMPORT_LINES", "1500"))
SECONDS_MAX = 900
PEAK_MB_MAX = 150
HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<xb:xml-fragment xmlns:xb='
    '"http://com/exlibris/urm/rep/externalsysfinesfees/xmlbeans"><xb:userExportedFineFees>'
    "<xb:exportNumber>1</xb:exportNumber></xb:userExportedFineFees><xb:userExportedFineFees>"
    "<xb:userExportedList><xb:userExportedFineFeesList><xb:finefeeList>"
)
LINE = (
    "<xb:userFineFee><xb:compositeSum><xb:currency>{currency}</xb:currency><xb:sum>{sum}</xb:sum>"
    "</xb:compositeSum><xb:bursarTransactionId>{id}</xb:bursarTransactionId></xb:userFineFee>"
)
TAIL = (
    "</xb:finefeeList></xb:userExportedFineFeesList></xb:userExportedList>"
    "</xb:userExportedFineFees></xb:xml-fragment>"
)


async def test_a_large_file_is_applied_once_in_flat_memory(site: Site, tmp_path: Path) -> None:
    site.write_profiles(PROFILES)
    await site.command("topics", "create", "--partitions", "2")
    await fill(site.database_url, LINES)
    await site.command("export", "run", "--all", seconds_max=SECONDS_MAX)
    lines = await write_file(site, tmp_path / "back.xml")
    assert lines == LINES
    await site.start()
    first = await imported(site, tmp_path)
    owed = "SELECT sum(transferred)::bigint AS owed, count(*) AS accounts FROM account"
    assert (await site.rows(owed))[0]["owed"] == 0
    counts = "SELECT count(*) AS n FROM ledger_transaction"
    before = await site.rows(counts)
    again = await imported(site, tmp_path)
    assert await site.rows(counts) == before
    print(f"peak of the import of {LINES} lines: {first} MB, again {again} MB")
    assert max(first, again) < PEAK_MB_MAX
    assert await site.rows("SELECT reason FROM rejected") == []


async def write_file(site: Site, path: Path) -> int:
    """Every exported line, as the bursar would send it back."""
    rows = await site.rows(
        "SELECT bursar_transaction_id AS id, line.amount, fine.currency"
        " FROM export_line AS line JOIN fine USING (institution_id, fine_id)"
        " ORDER BY bursar_transaction_id"
    )
    with path.open("w", encoding="utf-8") as file:
        file.write(HEAD)
        for row in rows:
            amount = int(str(row["amount"]))
            units, cents = divmod(abs(amount), 100)
            text = f"{'-' if amount < 0 else ''}{units}.{cents:02}"
            file.write(LINE.format(currency=row["currency"], sum=text, id=row["id"]))
        file.write(TAIL)
    return len(rows)


async def imported(site: Site, folder: Path) -> int:
    """The peak of the command's memory in MB."""
    words = ["import", str(folder / "back.xml"), "--profile", profile_code(), "--json"]
    words += ["--wait-seconds", str(SECONDS_MAX)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.measured", str(folder / "peak"), *words),
        cwd=ROOT,
        env=site.environment,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS_MAX):
            out, problems = await process.communicate()
    finally:
        await end(process)
    assert process.returncode == 0, (out.decode()[-500:], problems.decode()[-500:])
    return int((folder / "peak").read_text("utf-8")) // 1024


def profile_code() -> str:
    return PROFILES.split('code = "')[1].split('"')[0]
