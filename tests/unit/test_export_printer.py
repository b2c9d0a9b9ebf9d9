"""A process beside prints large batches; whatever becomes of it, each batch is printed."""

from __future__ import annotations

import asyncio
import os
import pickle
import re
import signal
import sys
import threading
from collections.abc import AsyncIterator
from multiprocessing.connection import Pipe
from pathlib import Path

import pytest
from hypothesis import given
from structlog.testing import capture_logs

from service.export.batch import Batch, InvalidBatch
from service.export.printer import FINES_MIN, Printer
from service.export.xml.stream import UnreadableDocument
from service.export.xml.worker import READY, packed, print_proved, serve
from tests.golden.batches import any_batch, batch, line, patron
from tests.support.waiting import until

SECONDS_MAX = 30


def large(number: int = 42) -> Batch:
    lines = [line(n) for n in range(FINES_MIN)]
    return batch(patron("doe", *lines), export_number=100_000_000_000_000 + number)


def children(parent: int | None = None) -> list[int]:
    """The processes beside that are children of this process, or of another one."""
    tasks = Path(f"/proc/{parent or os.getpid()}/task").glob("*/children")
    numbers = [int(number) for file in tasks for number in file.read_text().split()]
    return [number for number in numbers if "xml.worker" in command_of(number)]


def command_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""


def spoil(value: object, **fields: object) -> None:
    """As a fault of the program would: the type checker alone keeps a value from being changed."""
    for name, content in fields.items():
        setattr(value, name, content)


async def printed(printer: Printer, number: int = 42) -> None:
    """In a thread, as an exporter does; the answer has to be that of the function."""
    made = large(number)
    assert await asyncio.to_thread(printer.print_proved, made) == print_proved(made)


async def ready(printer: Printer) -> int:
    """Prints a first batch, and waits for the process beside that it starts."""
    await printed(printer)
    (beside,) = children()
    worker = printer._beside  # nothing else shows where a batch is printed
    assert worker is not None
    await until(worker.is_ready)
    return beside


@pytest.fixture
async def printer() -> AsyncIterator[Printer]:
    made = Printer(cores=2)
    async with made.lent():
        yield made
    assert children() == []


async def test_the_process_beside_answers_the_same_as_the_function(printer: Printer) -> None:
    beside = await ready(printer)
    with capture_logs() as logs:
        for number in range(3):
            await printed(printer, number)
    assert (children(), logs) == ([beside], [])


async def test_it_is_started_by_a_large_batch_alone_and_ends_with_the_run() -> None:
    printer = Printer(cores=2)
    async with printer.lent():
        small = batch(patron("doe", line(1)))
        assert printer.print_proved(small) == print_proved(small)
        printer.print_proved(large(), is_last=True)
        assert children() == []
        await printed(printer)
        assert len(children()) == 1
    assert children() == []
    async with printer.lent():
        await printed(printer)
        assert len(children()) == 1
    assert children() == []


async def test_with_a_single_core_there_is_none() -> None:
    printer = Printer(cores=1)
    for number in range(2):
        await printed(printer, number)
    assert children() == []


async def test_a_process_that_was_killed_is_replaced(printer: Printer) -> None:
    beside = await ready(printer)
    os.kill(beside, signal.SIGKILL)
    with capture_logs() as logs:
        await printed(printer)
    assert [each["event"] for each in logs] == ["printer_lost"]
    assert await ready(printer) != beside


async def test_a_process_that_hangs_is_killed_after_a_time() -> None:
    printer = Printer(cores=2, answer_ms_min=100)
    async with printer.lent():
        beside = await ready(printer)
        os.kill(beside, signal.SIGSTOP)
        with capture_logs() as logs:
            await printed(printer)
        assert [each["event"] for each in logs] == ["printer_lost"]
        assert children() == []


async def test_a_process_that_cannot_start_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/program")
    printer = Printer(cores=2)
    with capture_logs() as logs:
        await printed(printer)
    assert [each["event"] for each in logs] == ["printer_lost"]


async def test_a_process_that_ends_at_its_start_is_done_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    printer = Printer(cores=2)
    async with printer.lent():
        await printed(printer)
        await until(lambda: children() == [])
        with capture_logs() as logs:
            await until(lambda: printer.print_proved(large()) and logs)
    assert {each["event"] for each in logs} == {"printer_lost"}


async def test_an_error_is_the_exporters_own(printer: Printer) -> None:
    """A text that cannot be printed: the same error, and the process beside goes on."""
    beside = await ready(printer)
    made = large()
    spoil(made.patrons[0].lines[0], type="")
    with pytest.raises(UnreadableDocument) as expected:
        print_proved(made)
    text = re.escape(str(expected.value))
    with capture_logs() as logs, pytest.raises(UnreadableDocument, match=text):
        await asyncio.to_thread(printer.print_proved, made)
    assert logs == []
    await printed(printer)
    assert children() == [beside]


HOLDER = """
import os, signal, sys, time
from service.export.printer import Printer
from tests.unit.test_export_printer import children, large
printer = Printer(cores=2)
printer.print_proved(large())
print(children()[0], flush=True)
time.sleep(600)
"""


async def test_it_ends_when_the_exporter_is_killed() -> None:
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, stdout=asyncio.subprocess.PIPE
    )
    assert holder.stdout is not None
    async with asyncio.timeout(SECONDS_MAX):
        beside = int(await holder.stdout.readline())
        holder.kill()
        await holder.wait()
        await until(lambda: "xml.worker" not in command_of(beside))


@given(any_batch())
def test_a_batch_that_was_sent_is_the_same_there(drawn: Batch) -> None:
    assert pickle.loads(packed(drawn)) == drawn
    assert pickle.loads(packed(drawn)).patrons == drawn.patrons


def test_a_batch_that_was_sent_is_checked_there_again() -> None:
    made = batch(patron("doe", line(1)))
    spoil(made.patrons[0].lines[0], amount=0)
    with pytest.raises(InvalidBatch):
        pickle.loads(packed(made))


def test_the_program_answers_until_its_connection_is_closed() -> None:
    ours, theirs = Pipe()
    thread = threading.Thread(target=serve, args=(theirs,))
    thread.start()
    with ours:
        assert ours.recv() == READY
        for made in (batch(patron("doe", line(1))), batch()):
            ours.send_bytes(packed(made))
            assert ours.recv() == print_proved(made)
        broken = batch(patron("doe", line(1)), zone="No/Where")
        ours.send_bytes(packed(broken))
        assert ours.recv() is None
    thread.join(SECONDS_MAX)
    assert not thread.is_alive()
    theirs.close()
