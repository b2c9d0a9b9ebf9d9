"""The release before this one runs beside it while this one migrates the database under load."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.core.terms import Terms
from service.core.words import Mode, ProfileCode
from service.database.encodings import terms_text
from service.database.migrate import revisions
from tests.support import inputs
from tests.support.installation import institution, profile
from tests.support.older_release import extract_older_release
from tests.support.process import Site, connected
from tests.support.programs import ROOT
from tests.support.topics import produce

FINE, PAYMENT = "fine-created.v1", "bursar-payment.v1"
PROFILE = institution() + profile("MAIN")
LAST_OF_OLDER = "0004"
# The older release reads whole rows of them inside its transactions: see
# service/database/migrations/README.md.
READ_WHOLE = (
    "export_line",
    "export_response",
    "export_run",
    "fine",
    "fine_change",
    "parked",
    "patron",
    "payment",
)
PATRONS = 50
SECONDS_MAX = 60


@pytest.fixture
async def beside(site: Site, empty_database_url: str) -> AsyncIterator[Site]:
    """On a database that nobody has migrated yet."""
    site.database_url = empty_database_url
    site.write_profiles(PROFILE)
    await site.command("topics", "create", "--partitions", "4")
    yield site
    await site.end_all()


async def revision(site: Site) -> str:
    async with connected(site.database_url) as connection:
        current: str = await connection.fetchval("SELECT version_num FROM alembic_version")
        return current


def send_fines(site: Site, numbers: range) -> None:
    records = []
    for number in numbers:
        patron = {
            "patron_id": f"P-{number % PATRONS}",
            "name": "Doe",
            "user_group": "STUDENT",
            "identifiers": [{"type": "02", "value": f"B-{number % PATRONS}"}],
        }
        data = inputs.fine_created(fine_id=f"F-{number}", patron=patron, amount="10.00")
        records.append((b"%d" % (number % PATRONS), inputs.structured(FINE, data)[0]))
    produce(site.servers, site.topic(FINE), records)


def send_payments(site: Site, numbers: range) -> None:
    """Half of each fine; for half of them before their export, which then takes them along."""
    records = []
    for number in numbers:
        data = inputs.bursar_payment(
            payment_id=f"pay-{number}",
            fine_id=f"F-{number}",
            bursar_transaction_id=inputs.ABSENT,
            amount="5.00",
            comment="two  blanks\tand a tab",  # the releases do not keep the same of it
        )
        records.append((b"%d" % (number % PATRONS), inputs.structured(PAYMENT, data)[0]))
    produce(site.servers, site.topic(PAYMENT), records)


@pytest.mark.parametrize("fines", [300, pytest.param(20_000, marks=pytest.mark.slow)])
async def test_both_releases_apply_and_export_while_the_newer_one_migrates(
    beside: Site, tmp_path: Path, fines: int
) -> None:
    """No process ends by itself (`until` looks at each of them), and the books agree."""
    older = await asyncio.to_thread(extract_older_release, tmp_path)
    await beside.start("older", older)
    assert await revision(beside) == LAST_OF_OLDER
    third = fines // 3
    send_fines(beside, range(third))
    send_payments(beside, range(0, third, 2))
    await beside.start("newer")
    assert await revision(beside) == revisions()[-1]
    send_fines(beside, range(third, 2 * third))
    await beside.command("export", "run", "--profile", "MAIN")
    await beside.until_idle(2 * third + (third + 1) // 2, fines)
    await beside.stop("newer")  # the older one goes on alone over the newer schema
    send_fines(beside, range(2 * third, 3 * third))
    send_payments(beside, range(1, third, 2))
    await beside.until_idle(4 * third, fines)
    await beside.start("newer")
    await beside.command("export", "run", "--profile", "MAIN")
    await beside.until_idle(4 * third, fines)
    beside.check_alive()
    await beside.stop_all()
    await check_ledger(beside, 3 * third, third)


def test_the_older_release_reads_terms_with_members_that_it_does_not_know(tmp_path: Path) -> None:
    older = extract_older_release(tmp_path)
    text = terms_text(Terms(ProfileCode("MAIN"), Mode.EXPORT_IMPORT, overpayment_max=1))
    program = "import sys; from service.database.records import terms; "
    program += "print(terms({'body': sys.argv[1]}).profile)"
    done = subprocess.run(
        [sys.executable, "-c", program, text],
        cwd=older,
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS_MAX,
    )
    assert done.stdout == "MAIN\n"


@pytest.mark.slow
async def test_tables_that_the_older_release_does_not_read_whole_may_get_columns(
    beside: Site, tmp_path: Path
) -> None:
    older = await asyncio.to_thread(extract_older_release, tmp_path)
    await beside.start("older", older)
    await use_every_statement(beside, older, 0)
    async with connected(beside.database_url) as connection:
        tables = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            " AND tablename <> ALL ($1::text []) AND tablename <> 'alembic_version'",
            READ_WHOLE,
        )
        for (table,) in tables:
            await connection.execute(f'ALTER TABLE "{table}" ADD COLUMN of_a_later_release text')
    await use_every_statement(beside, older, 1)
    beside.check_alive()
    await beside.stop_all()
    await check_ledger(beside, 200, 100, older)


async def use_every_statement(site: Site, older: Path, turn: int) -> None:
    """Fines, payments before and after their export, and an export by the older release."""
    fines = range(100 * turn, 100 * turn + 100)
    send_fines(site, fines)
    send_payments(site, range(fines.start, fines.stop, 4))
    await site.until_idle(150 * turn + 125, SECONDS_MAX)
    await site.command("export", "run", "--profile", "MAIN", root=older)
    send_payments(site, range(fines.start + 2, fines.stop, 4))
    await site.until_idle(150 * turn + 150, SECONDS_MAX)


async def check_ledger(site: Site, fines: int, payments: int, root: Path = ROOT) -> None:
    (counts,) = await site.rows(
        "SELECT (SELECT count(*) FROM fine WHERE status = 'Transferred') AS exported,"
        " (SELECT count(*) FROM export_line WHERE state = 'live') AS lines,"
        " (SELECT count(*) FROM payment WHERE state = 'applied') AS paid,"
        " (SELECT sum(outstanding)::bigint FROM fine) AS outstanding,"
        " (SELECT count(*) FROM rejected) + (SELECT count(*) FROM parked) AS others"
    )
    assert counts == {
        "exported": fines,
        "lines": fines,
        "paid": payments,
        "outstanding": 1_000 * fines - 500 * payments,
        "others": 0,
    }
    assert await site.command("reconcile", root=root)
