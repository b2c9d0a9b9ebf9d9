"""The answers to batches, as rules.md, 5 and 5b, have it."""

from service.core.events import ExportResponse
from tests.oracle.adopted import money_waits
from tests.oracle.exporting import has_credit_there, take_back
from tests.oracle.tables import FineId, Tables


def respond(tables: Tables, event: ExportResponse) -> str:
    """Takes the answer whole, or not at all."""
    if event.key in tables.responses:
        same = tables.responses[event.key] == event.digest
        return "repeat" if same else "rejected:response_conflict"
    tables.responses[event.key] = event.digest
    home = event.key.institution_id
    if event.batch not in tables.batches:
        return "rejected:unknown_batch"
    mine = [name for (h, name), row in tables.lines.items() if row["batch"] == event.batch]
    live = [
        name
        for name in mine
        if not tables.lines[home, name]["refused"] or (home, name) in tables.presumed
    ]
    wanted = [name for name, _ in event.refused_lines]
    if event.outcome.value == "accepted":
        return "applied"
    if event.outcome.value == "refused":
        wanted = live
    if any(name not in mine for name in wanted):
        return "rejected:unknown_line"
    if not wanted or any(name not in live for name in wanted):
        return "rejected:not_live"
    if len(set(wanted)) < len(wanted):
        return "rejected:not_live"
    if any(_is_paid(tables, (home, name), wanted) for name in wanted):
        return "rejected:already_paid"
    for name in wanted:
        _refuse(tables, (home, name))
    return "applied"


def _is_paid(tables: Tables, line: FineId, wanted: list[str]) -> bool:
    waiting = next((each for each in tables.adopted if each.line == line), None)
    if waiting is not None:
        return money_waits(tables, waiting)
    key = (line[0], tables.lines[line]["fine"])
    if line in tables.presumed:
        return False
    return bool(tables.fines[key]["live"]) or has_credit_there(tables, key, wanted)


def _refuse(tables: Tables, line: FineId) -> None:
    """A line that waits keeps the refusal, and one that counts as refused already is answered."""
    waiting = next((each for each in tables.adopted if each.line == line), None)
    if waiting is not None:
        waiting.kept = tables.lines[line]["refused"] = True
    elif line in tables.presumed:
        tables.presumed.remove(line)
    else:
        take_back(tables, line[1], (line[0], tables.lines[line]["fine"]))
