"""Carries out operators' decisions about records and fines: who decides, about what and why, and
what the result of each decision was.
"""

import asyncio
import getpass
import os
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

import typer

from ..apply.applier import Applier
from ..apply.operator_actions import Action, DecisionResult, Justification
from ..kafka.topics import INPUTS
from ..operations.names import IMPORT_TOPIC, RecordFilter
from ..settings import Settings
from . import progress
from .commands.options import BulkOptions, DecisionOptions, RecordOptions
from .errors import FAILED, end_without, settings_or_exit, usage_error
from .lists import Listing, Row, identifier, place, sentence, word
from .problems import operator_errors
from .session import Question, applier_of, ask_database, raise_if_older, writing
from .tables import show

REASON_CHARACTERS_MAX: Final = 500
IDENTITY: Final = ("--institution", "--id")
_IDENTITY_ROW: Final = {"--institution": "institution_id", "--source": "source", "--id": "id"}
PLACE: Final = ("--topic", "--partition", "--offset")
WAYS: Final = f"{' '.join(IDENTITY)} (--source), {' '.join(PLACE)}"
OUTCOMES = Listing(
    "nothing was decided",
    (
        identifier("id"),
        identifier("fine_id"),
        identifier("bursar_transaction_id"),
        identifier("patron_id"),
        identifier("profile"),
        word("done", colours={"yes": "green", "no": "red"}),
        sentence("outcome"),
        sentence("fines"),
        identifier("institution_id"),
        identifier("source"),
        word("record"),
        word("reason"),
        *place(),
        identifier("ce_id"),
    ),
)

Item = TypeVar("Item")
Filter = TypeVar("Filter", bound=RecordFilter)
Decision = Callable[[Applier, Item, Justification], Awaitable[DecisionResult]]


def decide(
    verb: str,
    kind: str,
    find: Question[Sequence[Item]],
    decision: Decision[Item],
    options: DecisionOptions,
    bulk: BulkOptions,
    *,
    ambiguous: str = "",
    named: RecordOptions | None = None,
) -> None:
    """Calls `find` for the records or fines that the operator means, carries out `decision` for
    each of them in a commit of its own, and shows the results.

    `verb` and `kind`, such as "Release" and "parked record", are the words for the question to the
    operator; `ambiguous` is the error message if several records are found without `--all`. The
    printed result has the identity with which the operator has `named` the record. Ends the command
    with exit code 1 if nothing is found, if the operator does not confirm, or if one of the
    decisions could not be carried out.
    """
    why = justification(options.reason, options.operator)
    settings = settings_or_exit()

    with operator_errors():
        asyncio.run(raise_if_older(settings))
        meant = asyncio.run(ask_database(settings, find, snapshot=True))
        if not meant:
            end_without(kind)
        if bulk.every:
            confirm(f"{verb} {kind}s: {len(meant)}?", yes=bulk.yes)
        elif len(meant) > 1:
            raise usage_error(ambiguous)
        results = asyncio.run(decide_each(settings, meant, decision, why))
    given = {} if named is None or bulk.every else _given(named)
    identity = {name: given[option] for option, name in _IDENTITY_ROW.items() if option in given}
    show_results(results, options.as_json, identity)


async def decide_each(
    settings: Settings, items: Sequence[Item], decision: Decision[Item], why: Justification
) -> list[DecisionResult]:
    """Carries out `decision` for each item in a commit of its own, and returns the results. Raises
    OlderDatabase, CannotAsk.
    """
    async with writing(settings) as writer:
        applier = applier_of(settings, writer)
        with progress.steps() as bars:
            each = bars.track(items, description="deciding")
            return [await decision(applier, item, why) for item in each]


def confirm(question: str, *, yes: bool) -> None:
    """Asks the operator for a confirmation, unless `--yes` was given; ends the command with exit
    code 1 if the operator answers no.
    """
    if not yes and not typer.confirm(question, err=True):
        raise typer.Exit(FAILED)


def show_results(
    results: Sequence[DecisionResult], as_json: bool, identity: Row | None = None
) -> None:
    """Prints what became of each decision; ends the command with exit code 1 if one of them was not
    carried out.

    `identity` has the institution, source and id that the operator has given; it is printed because
    the result of a decision may lack them.
    """
    rows = [
        {**(identity or {}), **result.subject, "done": result.done, "outcome": result.outcome}
        for result in results
    ]
    show(OUTCOMES, rows, as_json)
    if not all(result.done for result in results):
        raise typer.Exit(FAILED)


def justification(reason: str, operator: str | None) -> Justification:
    """Returns who decides and why, as it is stored with the decision; if `operator` is None, the
    name of the user in the operating system.

    Ends the command with exit code 2 if the reason or the operator's name is empty, too long, or
    has control characters.
    """
    for option, text in (("--reason", reason), ("--operator", operator)):
        if text is not None and not _is_text(text):
            rule = f"must be a text of 1 to {REASON_CHARACTERS_MAX} characters"
            raise usage_error(f"{option}: {rule}")
    return Justification(operator.strip() if operator else _user(), reason.strip())


def _is_text(text: str) -> bool:
    has_controls = any(unicodedata.category(character) in ("Cc", "Cs") for character in text)
    return bool(text.strip()) and len(text) <= REASON_CHARACTERS_MAX and not has_controls


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a container there may be a number without a name
        return f"uid {os.getuid()}"


def require_record(selected: RecordOptions, *, has_all: bool = True) -> None:
    """Ends the command with exit code 2 unless the operator names one record completely, either by
    institution and id, or by topic, partition and offset.

    `has_all` says whether the error message mentions the option `--all`, too.
    """
    require_topic(selected.topic)
    given = _given(selected)
    used = [way for way in (IDENTITY, PLACE) if not given.keys().isdisjoint(way)]
    if len(used) != 1:
        raise usage_error(f"name one of {WAYS}" + (", --all" if has_all else ""))
    if missing := [option for option in used[0] if option not in given]:
        others = ", ".join(option for option in used[0] if option in given)
        raise usage_error(f"{', '.join(missing)}: must be given with {others}")


def require_no_record(selected: RecordOptions, *filters: str) -> None:
    """Ends the command with exit code 2 if the operator names a single record although `--all` is
    given.

    `filters` names the options that may be given together with `--all`, because they select many
    records.
    """
    require_topic(selected.topic)
    if named := [option for option in _given(selected) if option not in filters]:
        raise usage_error(f"{', '.join(named)}: not together with --all")


def require_topic(topic: str | None, names: Sequence[str] = (*INPUTS, IMPORT_TOPIC)) -> None:
    """Ends the command with exit code 2 if the value of `--topic` is none of the topics in `names`,
    with or without the topic prefix.
    """
    if topic is not None and not topic.partition("@")[0].endswith(tuple(names)):
        raise usage_error(f"--topic: must be one of {', '.join(names)}, with its prefix or without")


def filter_of(selected: RecordOptions, more: Filter) -> Filter:
    """Returns the filter `more`, further restricted to the records that the options in `selected`
    name.
    """
    return replace(
        more,
        institution_id=selected.institution,
        source=selected.source,
        id=selected.record_id,
        topic=selected.topic,
        partition=selected.partition,
        offset=selected.offset,
    )


def _given(selected: RecordOptions) -> dict[str, object]:
    """The values of the options that were given, by the names of the options."""
    values = {
        "--institution": selected.institution,
        "--source": selected.source,
        "--id": selected.record_id,
        "--topic": selected.topic,
        "--partition": selected.partition,
        "--offset": selected.offset,
    }
    return {option: value for option, value in values.items() if value is not None}


def action_rows(actions: Sequence[Action]) -> list[Row]:
    """Returns rows that show an operator's earlier decisions: when, by whom, why, and with what
    outcome.
    """
    return [
        {
            "recorded_at": action.recorded_at,
            "action": action.action,
            "operator": action.operator,
            "reason": action.reason,
            "outcome": action.outcome,
        }
        for action in actions
    ]
