"""Bars for commands that take long; on standard error, and only where a person looks."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..export.manifest import Manifest
from ..export.store import OPEN_FINES_COUNTED_MAX


def steps() -> Progress:
    """A bar with what is done of what is to do."""
    return _shown(BarColumn(), MofNCompleteColumn())


def batches() -> Progress:
    """For RunBar: its counts stand behind the bar."""
    return _shown(BarColumn(), TextColumn("{task.fields[counts]}"))


def _shown(*columns: BarColumn | MofNCompleteColumn | TextColumn) -> Progress:
    named = (TextColumn("{task.description}"), *columns, TimeElapsedColumn())
    console = Console(stderr=True)
    return Progress(*named, console=console, transient=True, disable=not console.is_terminal)


class RunBar:
    """One profile's run: how many of its open fines it has passed, and what it took of them.

    `open_fines` is the most it can take; not all of it may be due.
    Where open fines were not counted to their end, the bar moves without a total.
    """

    def __init__(self, progress: Progress, text: str, open_fines: int) -> None:
        self._progress = progress
        is_counted = open_fines < OPEN_FINES_COUNTED_MAX
        self._open = f"{open_fines}" if is_counted else f"{open_fines} or more"
        self._batches = self._fines = 0
        total = open_fines if is_counted else None
        self._task = progress.add_task(text, total=total, counts=self.counts)

    @property
    def counts(self) -> str:
        return f"batches {self._batches}, fines {self._fines} of {self._open} open"

    def add(self, manifest: Manifest) -> None:
        self._batches += 1
        self._fines += manifest.count
        self._progress.update(self._task, counts=self.counts)

    def passed(self, open_fines: int) -> None:
        self._progress.update(self._task, advance=open_fines)
