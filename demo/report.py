"""What happened, for people to read: balances step by step, batches, rejected records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from demo.expected import ZERO, Balance
from demo.outputs import Outputs
from demo.stage import Done

NOTHING: Balance = (ZERO, ZERO)
FINE_WIDTH = 7
SENTENCE = "field and rule"  # the one column whose text may be continued on further lines
SENTENCE_WIDTH = 48
UNLIMITED = 1_000  # wider than any of these lists
GAP = "   "

Cell = str | Text


@dataclass
class Report:
    """A list with a title. `numbers`: the headings of columns that are aligned to the right.

    An empty first cell says that the row belongs to the same subject as the row above it.
    """

    title: str
    headings: Sequence[str]
    numbers: frozenset[str]
    caption: str | None = None
    rows: list[tuple[Sequence[Cell], bool]] = field(default_factory=list)

    def add(self, *cells: Cell, end_section: bool = False) -> None:
        """Adds a row, one cell for each heading; with `end_section` a rule is drawn below it."""
        self.rows.append((cells, end_section))

    def fitting(self, console: Console) -> RenderableType:
        """A table if it fits the console, else a few lines for each row; no name is ever cut."""
        table = self._table()
        options = console.options.update(max_width=UNLIMITED)
        if Measurement.get(console, options, table).maximum <= console.width:
            return table
        texts = [text for cells, _ in self.rows for text in self._texts(cells, console.width)]
        caption = [] if self.caption is None else [Text(self.caption, "dim")]
        return Group(Text(self.title, "bold"), *map(Text, texts), *caption)

    def _table(self) -> Table:
        table = Table(
            title=self.title, title_justify="left", caption=self.caption, caption_justify="left"
        )
        for heading in self.headings:
            if heading == SENTENCE:
                table.add_column(heading, max_width=SENTENCE_WIDTH)
            else:
                is_number = heading in self.numbers
                table.add_column(heading, justify="right" if is_number else "left", no_wrap=True)
        for cells, end_section in self.rows:
            table.add_row(*cells, end_section=end_section)
        return table

    def _texts(self, cells: Sequence[Cell], width: int) -> Iterator[str]:
        subject, *others = [str(cell) for cell in cells]
        if subject:
            yield f" {subject}"
        texts = ""
        for heading, text in zip(self.headings[1:], others, strict=False):
            if not text:
                continue
            part = f"{GAP}{heading} {text}" if heading else f" {text}"
            if texts and cell_len(texts + part) > width:
                yield texts
                texts = ""
            texts += part
        yield texts


def step_bars(console: Console) -> Progress:
    """Bars for the steps of the story, each with the name of the step and what came of it."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[result]}"),
        TimeElapsedColumn(),
        console=console,
    )


def show(console: Console, done: list[Done], outputs: Outputs) -> None:
    """Prints the three reports, in a width that the console has."""
    for report in (_balances(done), _batches(outputs), _rejected(outputs)):
        console.print(report.fitting(console), highlight=False)


def _balances(done: list[Done]) -> Report:
    amounts = ("active", "transferred", "total")
    report = Report(
        "Balances, before → after each step",
        ("step", "fines", "patron", "", *amounts),
        frozenset(amounts),
        "Below zero: a credit. A lost item's fine leaves the balance when it is exported.",
    )
    for step in done:
        _add_step(report, step)
    last = done[-1].after if done else {}
    for patron, balance in last.items():
        title = "the end" if patron is next(iter(last)) else ""
        amounts_now = _moved(balance, balance)
        report.add(title, "", Text(patron.name), patron.college.currency, *amounts_now)
    return report


def _add_step(report: Report, step: Done) -> None:
    """A row for each patron whose balance moved; a line if there is none."""
    patrons = [patron for patron in step.after if step.before.get(patron) != step.after[patron]]
    title = step.title
    for patron in patrons:
        amounts = _moved(step.before.get(patron, NOTHING), step.after[patron])
        currency = patron.college.currency
        end = patron is patrons[-1]
        fines = ", ".join(map(_short, sorted(step.fines[patron])))
        report.add(title, fines, Text(patron.name), currency, *amounts, end_section=end)
        title = ""
    if not patrons:
        counts = {"rejected": step.rejected, "parked": step.parked}
        remarks = ["no effect", *(f"{n} {what}" for what, n in counts.items() if n)]
        report.add(title, "", Text(", ".join(remarks), style="dim"), end_section=True)


def _short(fine_id: str) -> str:
    """A credit that the service made has a long identity; the library's fines have short ones."""
    return fine_id if len(fine_id) <= FINE_WIDTH else f"{fine_id[:FINE_WIDTH]}…"


def _moved(before: Balance, after: Balance) -> list[Text]:
    """Active, transferred and their sum; dim where nothing moved."""
    pairs = zip((*before, sum(before)), (*after, sum(after)), strict=True)
    return [
        Text(f"{old:.2f}", style="dim") if old == new else Text(f"{old:.2f} → {new:.2f}")
        for old, new in pairs
    ]


def _batches(outputs: Outputs) -> Report:
    numbers = ("fines", "debits", "credits", "total")
    headings = ("profile", "batch", *numbers, "file")
    report = Report("Batches", headings, frozenset(numbers))
    for manifest in outputs.manifests:
        report.add(
            manifest["profile"],
            str(manifest["batch_number"]),
            str(manifest["count"]),
            manifest["debits"]["total"],
            manifest["credits"]["total"],
            f"{manifest['total']} {manifest['currency']}",
            manifest["file_name"],
        )
    return report


def _rejected(outputs: Outputs) -> Report:
    headings = ("topic", "offset", "reason", SENTENCE)
    report = Report("Rejected records", headings, frozenset())
    for record in outputs.records["rejected"]:
        headers = record.headers
        place = f"{headers['bursar-partition']}/{headers['bursar-offset']}"
        topic = headers["bursar-topic"].partition(".")[2]
        report.add(topic, place, headers["bursar-reason"], Text(headers["bursar-detail"]))
    return report
