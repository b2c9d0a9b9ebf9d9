"""The work of `bursar-bridge recovered lines`, `take` and `drop`: shows export lines that wait for
their fines after a recovery, and decides about them.
"""

from ..database.adopted_lines import recovery_is_open
from ..database.session import Connection
from ..operations import adopted_lines
from ..operations.adopted_lines import LineFilter, WaitingLine, waiting_lines
from .commands.options import BulkOptions, DecisionOptions, ListOptions
from .decisions import Decision, decide
from .errors import complain, usage_error
from .lists import Listing, Row, identifier, number, sentence, word
from .session import read_database
from .tables import show
from .texts import money

KIND = "adopted line"
LINES = Listing(
    "no line waits for its fine",
    (
        identifier("bursar_transaction_id"),
        identifier("fine_id"),
        number("amount"),
        word("currency"),
        sentence("in_words"),
        identifier("profile"),
        number("batch_number"),
        identifier("institution_id"),
        word("status", wide=True),
        number("remaining", wide=True),
        number("parked", wide=True),
        word("refused", wide=True),
        identifier("patron_id", wide=True),
        word("cutoff", wide=True),
    ),
    kind=KIND,
)


def list_lines(
    options: ListOptions,
    institution: str | None,
    profile: str | None,
    batch: int | None,
    fine: str | None,
) -> None:
    """Lists the export lines that wait for their fines; if the recovery has not ended yet, says so
    on standard error.
    """
    selected = LineFilter(institution, profile, batch, fine, options.limit)

    async def question(connection: Connection) -> tuple[bool, list[WaitingLine]]:
        return await recovery_is_open(connection), await waiting_lines(connection, selected)

    goes_on, lines = read_database(question, snapshot=True)
    if goes_on:
        complain("the recovery goes on: fines take more of these lines while topics are read again")
    show(LINES, [line_row(line) for line in lines], options.as_json, wide=options.wide)


def take(
    decision: DecisionOptions,
    bulk: BulkOptions,
    institution: str | None,
    line: str | None,
    profile: str | None,
    batch: int | None,
) -> None:
    """Assigns the waiting export lines that the options select to the fines that they exported."""
    selected = _selected(bulk, institution, line, profile, batch)
    _decide("Take", adopted_lines.take, selected, bulk, decision)


def drop(
    decision: DecisionOptions,
    bulk: BulkOptions,
    institution: str | None,
    line: str | None,
    profile: str | None,
    batch: int | None,
) -> None:
    """Gives up the waiting export lines that the options select: they count as refused, and their
    fines may be exported again.
    """
    selected = _selected(bulk, institution, line, profile, batch)
    _decide("Drop", adopted_lines.drop, selected, bulk, decision)


def _selected(
    bulk: BulkOptions,
    institution: str | None,
    line: str | None,
    profile: str | None,
    batch: int | None,
) -> LineFilter:
    if bulk.every == (line is not None) or (line is not None and institution is None):
        raise usage_error("name one of --institution --line, --all")
    if not bulk.every and (profile is not None or batch is not None):
        raise usage_error("--profile, --batch: only with --all")
    return LineFilter(institution, profile, batch, line_id=line)


def _decide(
    verb: str,
    decision: Decision[WaitingLine],
    selected: LineFilter,
    bulk: BulkOptions,
    options: DecisionOptions,
) -> None:
    async def find(connection: Connection) -> list[WaitingLine]:
        if await recovery_is_open(connection):
            complain("the recovery goes on: fines may still take these lines by themselves")
        return await waiting_lines(connection, selected)

    decide(verb, KIND, find, decision, options, bulk)


def line_row(line: WaitingLine) -> Row:
    """Returns the row that lists print for an export line that waits for its fine."""
    remaining = None if line.remaining is None else money(line.remaining, line.currency)
    return {
        "bursar_transaction_id": line.key.bursar_transaction_id,
        "fine_id": line.fine.fine_id,
        "amount": money(line.amount, line.currency),
        "currency": line.currency,
        "in_words": line.in_words,
        "profile": line.profile,
        "batch_number": line.batch_number,
        "institution_id": line.key.institution_id,
        "status": line.fine_status,
        "remaining": remaining,
        "parked": line.parked,
        "refused": line.refused_reason,
        "patron_id": line.patron_id,
        "cutoff": line.cutoff,
    }
