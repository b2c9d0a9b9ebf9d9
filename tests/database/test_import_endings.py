"""How an import ends: whole, with rejected lines, refused as a whole, or cut before it was done."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE

import pytest

from tests.support.importing import Desk, document, exported, outstanding
from tests.support.process import COMMAND_SECONDS_MAX, end
from tests.support.programs import ROOT
from tests.support.topics import read_topic
from tests.support.waiting import until


async def test_the_last_line_of_json_has_complete_and_the_totals(desk: Desk) -> None:
    lines, _ = await exported(desk.bursar.path, ["50.00", "3.00"])
    file = document((lines[0], "50.00"), (lines[1], "oops"), ("4711", "1"), (lines[1], "3.00"))

    code, last = await desk.end(file)

    assert code == 1, "a line was rejected"
    assert last == {
        "complete": True,
        "what": "end",
        "dry_run": False,
        "passed": False,
        "lines": 4,
        "published": 3,
        "decided": 3,
        "repeats": 0,
        "imported_from_another_file": 0,
        "not_passed": 2,
        "sums": {"USD": "54.00"},
    }
    code, last = await desk.end(file)
    assert (code, last["complete"], last["published"], last["repeats"]) == (1, True, 0, 3)
    code, last = await desk.end(document((lines[0], "1")), "--all-or-nothing")
    assert (code, last["complete"], last["published"]) == (1, False, 0), "refused as a whole"
    code, last = await desk.end(b"<no xml>")
    assert (code, last["complete"], last["lines"]) == (1, False, 0)
    code, last = await desk.end(document((lines[0], "1")), "--dry-run")
    assert (code, last["complete"], last["dry_run"]) == (0, True, True)


async def test_an_empty_file_is_refused_as_empty(desk: Desk) -> None:
    ended = await desk.imports(b"")
    assert ended.exit_code == 1
    assert ended.stderr == "bursar-bridge: the file is refused as a whole: it is empty\n"


async def test_an_import_that_is_not_decided_in_time_ends_with_a_code_of_its_own(
    desk: Desk,
) -> None:
    """Nobody reads the topic; imported again, when the service runs, it is done."""
    lines, _ = await exported(desk.bursar.path, ["50.00"])
    file = document((lines[0], "50.00"), (lines[0], "oops"))
    path = desk.write(file)

    ended = await desk.call(path, "--json", "--wait-seconds", "0")

    assert ended.exit_code == 4
    last = json.loads(ended.stdout.splitlines()[-1])
    assert (last["complete"], last["published"], last["decided"]) == (False, 1, 0)
    assert "import the same file again" in ended.stderr
    code, last = await desk.end(file)
    assert (code, last["complete"]) == (1, True), "only the bad line has not passed"
    assert await outstanding(desk.bursar.path) == {"F-0": 0}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_import_that_is_stopped_says_how_far_it_came(
    desk: Desk, number: signal.Signals
) -> None:
    lines, _ = await exported(desk.bursar.path, ["50.00"])
    path = desk.write(document((lines[0], "50.00")))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", "import", str(path), "--profile", "SIS", "--json"),
        cwd=ROOT,
        env=desk.environment,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        await until(lambda: bool(read_topic(desk.bursar.servers, desk.bursar.topic)))
        process.send_signal(number)
        async with asyncio.timeout(COMMAND_SECONDS_MAX):
            out, problems = await process.communicate()
    finally:
        await end(process)
    assert process.returncode == 4, problems.decode()
    last = json.loads(out.decode().splitlines()[-1])
    assert (last["complete"], last["published"]) == (False, 1)
    assert b"Traceback" not in problems


async def test_a_file_that_is_too_large_says_the_limit_and_its_size(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.export.xml.read.read_import.__defaults__", (1_000,))
    ended = await desk.imports(document(*[("4711", "1")] * 5))
    size = len(document(*[("4711", "1")] * 5))
    assert ended.exit_code == 1
    assert f"larger than the limit (at most 1000 bytes): it has {size} bytes" in ended.stderr


async def test_a_currency_in_lower_case_says_so(desk: Desk) -> None:
    lines, _ = await exported(desk.bursar.path, ["50.00"])
    file = document((lines[0], "50.00"))
    for code, rule in ((b"usd", "must be in upper case"), (b"US", "must be an ISO 4217 code")):
        ended = await desk.imports(file.replace(b"USD", code), "--dry-run")
        assert f"line 1: invalid_currency: currency: {rule}" in ended.stderr
