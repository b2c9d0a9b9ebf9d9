"""A process beside prints large batches; whatever becomes of it, each batch is printed."""

from __future__ import annotations

import asyncio
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing.connection import Pipe
from pathlib import Path

import pytest
from hypothesis import given
from structlog.testing import capture_logs

from service.export.batch import Batch, InvalidBatch
from service.export.printer import (
    CORES_MIN,
    FINES_MIN,
    LOSSES_MAX,
    Printer,
    WorkerLost,
)
from service.export.xml.proof import print_proved
from service.export.xml.stream import UnreadableDocument
from service.export.xml.worker import packed, program, serve
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
    return [number for number in numbers if "xml.worker" in content_of(number, "cmdline")]


def content_of(process: int, file: str) -> str:
    try:
        return Path(f"/proc/{process}/{file}").read_text()
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
    await until_ready(printer)
    return beside


async def until_ready(printer: Printer) -> None:
    worker = printer._beside  # nothing else shows where a batch is printed
    assert worker is not None
    await until(worker.is_ready)


async def lost(printer: Printer) -> None:
    """The next batch is printed here, and the loss is logged."""
    with capture_logs() as logs:
        await printed(printer)
    assert [each["event"] for each in logs] == ["printer_lost"]


@pytest.fixture
def printer() -> Iterator[Printer]:
    printer = Printer(cores=CORES_MIN, batches_before=0)
    with printer.lent():
        yield printer
    assert children() == []


async def test_the_process_beside_answers_the_same_as_the_function(printer: Printer) -> None:
    beside = await ready(printer)
    with capture_logs() as logs:
        for number in range(3):
            await printed(printer, number)
    assert (children(), logs) == ([beside], [])


async def test_it_is_started_by_a_large_batch_of_a_run_alone_and_ends_with_the_run() -> None:
    printer = Printer(cores=CORES_MIN, batches_before=0)
    await printed(printer)
    assert children() == []
    for _ in range(2):
        with printer.lent():
            small = batch(patron("doe", line(1)))
            assert printer.print_proved(small) == print_proved(small)
            printer.print_proved(large(), is_last=True)
            assert children() == []
            await printed(printer)
            assert len(children()) == 1
        assert children() == []


async def test_a_run_that_ends_while_it_starts_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a commit fails while the batch is still put together in a thread."""
    printer = Printer(cores=CORES_MIN, batches_before=0)
    start: Callable[..., object] = subprocess.Popen

    def ends_the_run(*args: object, **options: object) -> object:
        run.close()
        return start(*args, **options)

    monkeypatch.setattr(subprocess, "Popen", ends_the_run)
    with ExitStack() as run:
        run.enter_context(printer.lent())
        await printed(printer)
    assert children() == []


async def test_a_short_run_does_not_start_it() -> None:
    printer = Printer(cores=CORES_MIN, batches_before=2)
    with printer.lent():
        for number in range(3):
            assert children() == []
            await printed(printer, number)
        assert len(children()) == 1
    with printer.lent():
        await printed(printer)
        assert children() == []


async def test_with_two_cores_there_is_none() -> None:
    printer = Printer(cores=CORES_MIN - 1, batches_before=0)
    with printer.lent():
        await printed(printer)
        assert children() == []


async def test_a_process_that_was_killed_is_replaced_once(printer: Printer) -> None:
    for _ in range(LOSSES_MAX):
        os.kill(await ready(printer), signal.SIGKILL)
        await lost(printer)
    await printed(printer)
    assert children() == []


async def test_a_process_that_hangs_is_given_up_after_a_time() -> None:
    printer = Printer(cores=CORES_MIN, batches_before=0, answer_ms_min=100)
    with printer.lent():
        os.kill(await ready(printer), signal.SIGSTOP)
        await lost(printer)
        assert children() == []


async def test_a_run_that_is_cancelled_does_not_wait_for_a_process_that_hangs() -> None:
    printer = Printer(cores=CORES_MIN, batches_before=0, answer_ms_min=600_000)
    with capture_logs():
        with printer.lent():
            os.kill(await ready(printer), signal.SIGSTOP)
            printing = asyncio.ensure_future(printed(printer))
            await until(printer._turn.locked)
        async with asyncio.timeout(SECONDS_MAX):
            await printing


@pytest.mark.parametrize("program", ["/no/such/program", "/bin/false"])
async def test_a_process_that_cannot_start_is_done_without(
    monkeypatch: pytest.MonkeyPatch, printer: Printer, program: str
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    with capture_logs() as logs:
        await until(lambda: printer.print_proved(large()) and len(logs) == LOSSES_MAX)
        await printed(printer)
    assert [each["event"] for each in logs] == ["printer_lost"] * LOSSES_MAX


async def test_a_process_of_another_release_is_done_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.export.printer.program", lambda: b"another")
    printer = Printer(cores=CORES_MIN, batches_before=0)
    with printer.lent(), capture_logs() as logs:
        await until(lambda: printer.print_proved(large()) and logs)
    assert isinstance(logs[0]["exc_info"], WorkerLost)
    assert children() == []


async def test_an_error_is_the_exporters_own(printer: Printer) -> None:
    await ready(printer)
    made = large()
    spoil(made.patrons[0].lines[0], type="")
    with pytest.raises(UnreadableDocument) as expected:
        print_proved(made)
    text = re.escape(str(expected.value))
    with capture_logs() as logs, pytest.raises(UnreadableDocument, match=text):
        await asyncio.to_thread(printer.print_proved, made)
    assert [each["event"] for each in logs] == ["printer_lost"]


async def test_signals_to_the_whole_group_do_not_end_it_before_the_exporter(
    printer: Printer,
) -> None:
    await printed(printer)
    (beside,) = children()
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(beside, number)
    await until_ready(printer)
    with capture_logs() as logs:
        await printed(printer)
    assert logs == []


async def test_it_gets_no_passwords(monkeypatch: pytest.MonkeyPatch, printer: Printer) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://bursar:secret@127.0.0.1/bursar")
    environment = content_of(await ready(printer), "environ")
    assert "PYTHONPATH=" in environment
    assert "secret" not in environment


HOLDER = """
import os, signal, sys, time
from service.export.printer import CORES_MIN, Printer
from tests.unit.test_export_printer import children, large
printer = Printer(cores=CORES_MIN, batches_before=0)
with printer.lent():
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
        await until(lambda: content_of(beside, "cmdline") == "")


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
        assert ours.recv() == program()
        for made in (batch(patron("doe", line(1))), batch()):
            ours.send_bytes(packed(made))
            assert ours.recv() == print_proved(made)
        broken = batch(patron("doe", line(1)), zone="No/Where")
        for request in (packed(broken), b"nothing that was packed"):
            ours.send_bytes(request)
            assert ours.recv() is None
    thread.join(SECONDS_MAX)
    assert not thread.is_alive()
    theirs.close()
