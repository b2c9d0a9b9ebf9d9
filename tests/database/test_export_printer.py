"""A run whose batches are printed by a process beside, which may be lost at any time."""

from __future__ import annotations

import os
import signal
from itertools import count

import pytest

from service.export.job import ExportJob
from service.export.manifest import Manifest
from service.export.printer import CORES_MIN, FINES_MIN, Printer
from tests.support.exports import all_fine_ids, check_sealed, fines, only, profiles_with
from tests.support.waiting import until
from tests.support.write_path import TOPICS, WritePath
from tests.unit.test_export_printer import children

BATCHES = 4


@pytest.mark.fault("printer-lost")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_run_goes_on_without_the_process_that_prints_its_batches(
    path: WritePath, number: signal.Signals
) -> None:
    """It is lost after each batch that it may have printed; a new one is started."""
    await path.take(*fines(BATCHES * FINES_MIN, of_each=5))
    profiles = profiles_with(fines_max=FINES_MIN)
    printer = Printer(cores=CORES_MIN, batches_before=0, answer_ms_min=100)
    batches, lost = count(1), set()

    def sealed(_: Manifest) -> None:
        if next(batches) % 2 == 0:
            lost.update(children())
        for process in lost.intersection(children()):
            os.kill(process, number)

    job = ExportJob(path.applier, TOPICS, profiles, printer=printer)
    assert await job.run_profile(only(profiles), sealed) == BATCHES
    assert lost
    await until(lambda: children() == [])
    manifests = await check_sealed(path)
    assert [manifest["count"] for manifest in manifests] == [FINES_MIN] * BATCHES
    assert all_fine_ids(manifests) == [f"F-{n:05}" for n in range(BATCHES * FINES_MIN)]
