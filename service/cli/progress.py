"""Progress bars of commands that take long; they are shown on standard error, and only if standard
error is a terminal.
"""

import io
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stderr

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.segment import Segment, Segments

from ..export.manifest import Manifest
from ..export.plan import Passed
from ..export.store import OPEN_FINES_COUNTED_MAX


def steps() -> AbstractContextManager[Progress]:
    """Shows a progress bar with the number of steps that are done and the number of all steps."""
    return _shown(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())


def batches() -> AbstractContextManager[Progress]:
    """Shows the progress bar that `RunBar` moves; its counts are printed on a line below the
    description, because a long profile code leaves no room for them beside it.
    """
    return _shown(TextColumn("{task.description}\n{task.fields[counts]}"), BarColumn())


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Shows `text` with a moving spinner as long as the `with` block runs."""
    console = Console(file=sys.stderr)
    with console.status(text), _texts_above_the_bar(console):
        yield


@contextmanager
def _shown(*columns: BarColumn | MofNCompleteColumn | TextColumn) -> Iterator[Progress]:
    console = Console(file=sys.stderr)
    bars = Progress(
        *columns,
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with bars, _texts_above_the_bar(console):
        yield bars


@contextmanager
def _texts_above_the_bar(console: Console) -> Iterator[None]:
    """What is logged or complained about while a bar is shown appears above it, line by line."""
    if not console.is_terminal:
        yield
        return
    stream = _TextAbove(console)
    try:
        with redirect_stderr(stream):
            yield
    finally:
        if stream.unfinished:
            stream.write("\n")


class _TextAbove(io.TextIOBase):
    """A text stream whose lines are printed above the bar of a console.

    rich's own redirection breaks a line at the width of the terminal, in the middle of a value, so
    that a log line in JSON cannot be copied or searched any more. Here each line is printed whole,
    with its escape sequences as they are, and the terminal continues it where it is long.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self.unfinished = ""

    def write(self, text: str) -> int:
        *finished, self.unfinished = (self.unfinished + text).split("\n")
        for whole in finished:
            self._console.print(Segments([Segment(whole), Segment.line()]), crop=False)
        return len(text)

    def isatty(self) -> bool:
        return True


class RunBar:
    """The progress bar of one profile's run: how many open fines the run has looked at so far, and
    how many of them it has put into batches.

    `open_fines` is the number of open fines that the run looks at; not all of them may be due.
    `reasons` counts the fines that the run has not exported, by reason. If there are too many open
    fines to count them all, the bar moves without a total.
    """

    def __init__(self, progress: Progress, text: str, open_fines: int) -> None:
        self._progress = progress
        is_counted = open_fines < OPEN_FINES_COUNTED_MAX
        self._open = f"{open_fines}" if is_counted else f"{open_fines} or more"
        self._batches = self._fines = 0
        self.reasons: Passed = Counter()
        total = open_fines if is_counted else None
        self._task = progress.add_task(text, total=total, counts=self.counts)

    @property
    def counts(self) -> str:
        """The text below the bar's description: how many batches there are so far, and how many
        fines are in them of how many open fines.
        """
        return f"batches {self._batches}, fines {self._fines} of {self._open} open"

    def add(self, manifest: Manifest) -> None:
        """Adds a batch to the counts: one that the run has sealed, or that it would seal in a
        preview.
        """
        self._batches += 1
        self._fines += manifest.count
        self._progress.update(self._task, counts=self.counts)

    def passed(self, open_fines: Passed) -> None:
        """Moves the bar forward by the number of these open fines, whether the run exports them or
        not.
        """
        self.reasons.update(open_fines)
        self._progress.update(self._task, advance=open_fines.total())
