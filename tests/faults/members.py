"""Processes of the service, which a supervisor starts again where a row wants that."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.children import Memory, Process, children_of, memory_of
from tests.support.process import Site, end
from tests.support.programs import ROOT, Program, start_program
from tests.support.waiting import until

START_SECONDS_MAX = 180
STOP_SECONDS_MAX = 120
PAUSE_SECONDS = 0.2
PROGRAM = "service"
STARTED = '"event": "started"'
OF_CHILD = '"member":'


@dataclass(slots=True)
class Member:
    """An instance of the service: one process after the other under one name.

    `settings` are its own, beside those of the site. `module` is run as `python -m` with the
    argument `run`, in `root`, which has this source or that of an older release. With `restart`,
    each end is followed by a new start, as under `restart: always`. If its settings ask for several
    processes, the process is their parent, and `children` are the others.
    """

    name: str
    site: Site
    settings: Mapping[str, str] = field(default_factory=dict)
    restart: bool = False
    module: str = PROGRAM
    root: Path = ROOT
    ends: list[int] = field(default_factory=list)
    peak_bytes: int = 0
    _program: Program | None = None
    _others: set[Process] = field(default_factory=set)
    _starts_before: int = 0
    _keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self._program is not None, f"{self.name} does not run"
        return self._program.pid

    @property
    def children(self) -> list[Process]:
        """The processes that the one that runs now has started."""
        return self._note_children()

    @property
    def runs(self) -> bool:
        """Whether a process runs now."""
        return self._program is not None and self._program.returncode is None

    @property
    def log(self) -> Path:
        """The log of all its processes."""
        return self.site.folder / f"{self.name}.log"

    @property
    def has_started(self) -> bool:
        """Whether the process that runs now is at work; signals are taken from then on."""
        return self.runs and self.times_logged(STARTED) > self._starts_before

    async def start(self, *, wait: bool = True) -> None:
        """Returns once the process is at work, or has ended and is not started again.

        Without `wait`, it returns at once.
        """
        await self._launch()
        if self.restart:
            self._keeper = asyncio.create_task(self._keep())
        if wait:
            await self._until_started()

    def signal(self, number: int) -> None:
        """Sends a signal to the process, if it runs."""
        if self.runs and self._program is not None:
            self._program.send_signal(number)

    async def kill(self) -> None:
        """SIGKILL to the process, or to the next one; returns when it has ended."""
        await until(lambda: self.runs or not self.restart, START_SECONDS_MAX)
        program = self._program
        assert program is not None
        self._note_children()
        program.kill()
        await program.wait()

    async def stop(self) -> int:
        """SIGTERM, and no new start; returns the exit code."""
        await self._until_started()
        await self._leave()
        assert self._program is not None
        self._note_children()
        self.signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_SECONDS_MAX):
            return await self._program.wait()

    async def close(self) -> None:
        """Ends it in any case."""
        await self._leave()
        if self._program is not None:
            children = self.children
            self.signal(signal.SIGCONT)
            await end(self._program)
            for child in (*children, *self._others):
                child.signal(signal.SIGKILL)

    async def until_all_ended(self) -> None:
        """No child of its processes is left, also of those that were killed."""
        await until(lambda: not any(each.is_alive for each in self._others), STOP_SECONDS_MAX)

    def check_alive(self) -> None:
        """Fails if it has ended, and nobody starts it again."""
        assert self.runs or self.restart, (self.name, self._last_lines())

    def take_peak(self) -> None:
        """Notes the most memory that any of its processes has had, as the system counts it."""
        peaks = [memory.peak_bytes for memory in self.memory()]
        self.peak_bytes = max(self.peak_bytes, *peaks)

    def memory(self) -> list[Memory]:
        """What the process that runs now has in memory, and each of its children."""
        return [memory_of(pid) for pid in (self.pid, *(child.pid for child in self.children))]

    def _note_children(self) -> list[Process]:
        """The children that run now; from now on their ends are waited for."""
        children = children_of(self.pid) if self.runs else []
        self._others.update(children)
        return children

    async def _until_started(self) -> None:
        await until(lambda: self.has_started or not (self.runs or self._keeper), START_SECONDS_MAX)

    async def _launch(self) -> None:
        self._starts_before = self.times_logged(STARTED)
        with self.log.open("ab") as log:
            environment = self.site.environment | dict(self.settings)
            if self.module == PROGRAM:
                self._program = await start_program(
                    "run", environment=environment, output=log, errors=log, root=self.root
                )
                return
            self._program = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", self.module, "run"),
                cwd=ROOT,
                env=environment,
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def _keep(self) -> None:
        while True:
            assert self._program is not None
            self.ends.append(await self._program.wait())
            await asyncio.sleep(PAUSE_SECONDS)
            await self._launch()

    async def _leave(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
            self._keeper = None

    def times_logged(self, mark: str) -> int:
        """How many lines with `mark` the process has logged; those of its children, which name
        their numbers, do not count.
        """
        lines = self.log.read_text("utf-8").splitlines() if self.log.exists() else []
        return sum(mark in line and OF_CHILD not in line for line in lines)

    def _last_lines(self) -> list[str]:
        return self.log.read_text("utf-8").splitlines()[-5:] if self.log.exists() else []
