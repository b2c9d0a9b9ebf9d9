"""The work of `bursar-bridge intake`: shows input topics that the service has stopped because of
bad records, and resumes them.
"""

from collections.abc import Sequence

from ..apply.applier import Applier
from ..apply.operator_actions import DecisionResult, Justification
from ..core.breaker import EVERY
from ..database.intake_stops import StopState
from ..database.session import Connection
from ..kafka.topics import INPUTS
from ..operations import intake_stops
from .commands.options import BulkOptions, DecisionOptions, ListOptions
from .decisions import decide, require_topic
from .errors import settings_or_exit, usage_error
from .lists import Listing, Row, identifier, number, word
from .session import read_database
from .tables import show

KIND = "stopped topic"
ALL_INSTITUTIONS = "all"
STOPS = Listing(
    "no topic is stopped",
    (
        identifier("topic"),
        identifier("institution_id"),
        word("state", colours={"stopped": "red", "resuming": "yellow"}),
        number("waiting"),
        number("bad_records"),
        word("last_reason"),
        word("stopped_at"),
        word("resumed_at", wide=True),
    ),
    kind=KIND,
)


def list_stops(topic: str | None, institution: str | None, options: ListOptions) -> None:
    """Lists the stopped topics. If a topic is stopped for all institutions, its waiting records are
    still in Kafka, and their number is not shown.
    """
    require_topic(topic, INPUTS)
    states = read_database(lambda connection: intake_stops.find(connection, topic, institution))
    rows = [_row(state) for state in states[: options.limit]]
    show(STOPS, rows, options.as_json, wide=options.wide)


def resume(
    topic: str | None,
    institution: str | None,
    bad_records: int | None,
    bulk: BulkOptions,
    decision: DecisionOptions,
) -> None:
    """Lets the service apply the records of the stopped topics again that the options select."""
    if topic is None and not bulk.every:
        raise usage_error("name one of --topic (--institution), --all")
    require_topic(topic, INPUTS)
    bad_max = settings_or_exit().bad_records_in_a_row_max

    async def find(connection: Connection) -> Sequence[StopState]:
        wanted = institution if bulk.every else institution or EVERY
        states = await intake_stops.find(connection, topic, wanted)
        return [state for state in states if state.resumed_at is None]

    async def resumed(applier: Applier, stop: StopState, why: Justification) -> DecisionResult:
        return await intake_stops.resume(applier, stop, why, bad_records, bad_max)

    decide("Resume", KIND, find, resumed, decision, bulk)


def _row(state: StopState) -> Row:
    is_of_topic = state.key.is_of_topic
    return {
        "topic": state.key.topic,
        "institution_id": ALL_INSTITUTIONS if is_of_topic else state.key.institution_id,
        "state": state.state,
        "waiting": None if is_of_topic else state.records,
        "bad_records": state.bad_records,
        "last_reason": state.reason,
        "stopped_at": state.stopped_at,
        "resumed_at": state.resumed_at,
    }
