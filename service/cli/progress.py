"""Progress bars for commands that take long: on standard error, and only if it is a terminal."""

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
    """Shows a bar with the number of steps that are done, of all steps."""
    return _shown(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())


def batches() -> AbstractContextManager[Progress]:
    """Shows a bar for `RunBar`; its counts have a line of their own below the description, because
    the longest code of a profile leaves no room beside it.
    """
    return _shown(TextColumn("{task.description}\n{task.fields[counts]}"), BarColumn())


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Shows `text` with a moving sign as long as the block runs."""
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
    """One profile's run: how many of its open fines it has passed, and what it took of them.

    `open_fines` is the most it can take; not all of it may be due. `reasons` counts what it has
    passed, by the reason why it is not exported now. Where open fines were not counted to their
    end, the bar moves without a total.
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
        """The text below the description: batches and fines so far, of how many open fines."""
        return f"batches {self._batches}, fines {self._fines} of {self._open} open"

    def add(self, manifest: Manifest) -> None:
        """Counts a batch that was sealed, or would be."""
        self._batches += 1
        self._fines += manifest.count
        self._progress.update(self._task, counts=self.counts)

    def passed(self, open_fines: Passed) -> None:
        """Moves the bar by these open fines, whether the run took them or held them back."""
        self.reasons.update(open_fines)
        self._progress.update(self._task, advance=open_fines.total())
