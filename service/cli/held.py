"""The work of `bursar-bridge held`: shows open fines that no run would export now, and releases
them on an operator's decision.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace

from ..apply.applier import Applier
from ..apply.operator_actions import DecisionResult, Justification, actions_on
from ..core.ledger import Fine, FineKey
from ..core.words import HeldReason, Status
from ..database.ledger_read import LedgerReader
from ..database.session import Connection
from ..export.profiles.profile import NO_PROFILES, Profiles
from ..export.profiles.reading import read_profiles
from ..export.schedule import Pause, pauses
from ..export.selection import Exclusion
from ..messages.decode import parse
from ..operations import held, held_fine
from ..operations.held import HeldFilter, Judgement
from ..operations.held_fine import find_fine
from .commands.options import BulkOptions, DecisionOptions, ListOptions
from .decisions import action_rows, decide
from .errors import complain, end_without, settings_or_exit, usage_error
from .lists import Listing, Row, identifier, number, sentence, text, word
from .pausing import pause_in_words
from .problems import operator_errors
from .session import profiles_named, read_database
from .tables import show, show_card
from .texts import money

KIND = "fine"
HELD = Listing(
    "nothing is held back",
    (
        identifier("fine_id"),
        word("reason"),
        identifier("profile"),
        number("remaining"),
        word("currency"),
        sentence("in_words"),
        identifier("institution_id"),
        text("refused_reason", wide=True),
        identifier("patron_id", wide=True),
        word("type", wide=True),
        word("status", wide=True),
        word("changed_at", wide=True),
    ),
    kind=KIND,
)


def list_held(
    options: ListOptions,
    institution: str | None,
    profile: str | None,
    patron: str | None,
    fine: str | None,
    because: HeldReason | None,
    waiting: bool,
) -> None:
    """Lists open fines that are held back or that no profile exports, and with `waiting` also those
    that are too young, below a minimum or in a paused profile. Before the list, a line on standard
    error names each paused profile.
    """
    if (patron is not None or fine is not None) and institution is None:
        raise usage_error("--patron, --fine: only with --institution")
    profiles = _profiles(profile)
    reason = None if because is None else Exclusion(because.value)
    selected = HeldFilter(institution, profile, reason, patron, waiting, options.limit, fine)

    async def question(connection: Connection) -> tuple[Sequence[Pause], list[Judgement]]:
        paused = (await pauses(connection)).values()
        return list(paused), await _find(connection, profiles, selected)

    paused, fines = read_database(question, snapshot=True)
    for pause in paused:
        if institution in (None, pause.institution_id) and profile in (None, pause.profile):
            complain(pause_in_words(pause))
    show(HELD, [_row(fine) for fine in fines], options.as_json, wide=options.wide)


def show_held(institution: str, fine: str, as_json: bool) -> None:
    """Shows one fine, what each profile would do with it now, and what operators have decided about
    it.
    """
    profiles = _profiles(None)
    key = FineKey(institution, fine)
    row = read_database(lambda connection: _details(connection, profiles, key))
    if row is None:
        end_without(KIND)
    show_card(row, as_json)
    if row["status"] in (Status.ACTIVE, Status.IN_DISPUTE) and not row["profiles"]:
        complain("no profile of the institution is configured: nothing of it is exported")
    if row["failed_changes"]:
        complain(
            "not exported before these changes are decided: see parked show, then parked"
            " release, which tries a change again, or parked discard; a change of a stopped topic"
            " is decided after intake resume"
        )


def release(
    decision: DecisionOptions,
    bulk: BulkOptions,
    institution: str | None,
    fine: str | None,
    profile: str | None,
) -> None:
    """Lets the next run export fines that are held back because they were refused, are not
    exportable, or are credits that nobody has confirmed.
    """
    if bulk.every == (fine is not None) or (fine is not None and institution is None):
        raise usage_error("name one of --institution --fine, --all")
    if profile is not None and not bulk.every:
        raise usage_error("--profile: only with --all")
    profiles = _profiles(profile)

    async def find(connection: Connection) -> list[FineKey]:
        if institution is not None and fine is not None:
            return [FineKey(institution, fine)]
        fines = await _find(connection, profiles, HeldFilter(institution, profile))
        releasable = [held for held in fines if held.reason in held_fine.RELEASABLE]
        return list(dict.fromkeys(held.fine.facts.key for held in releasable))

    async def release_fine(
        applier: Applier, key: FineKey, justification: Justification
    ) -> DecisionResult:
        return await held_fine.release(applier, profiles, key, justification)

    decide("Release", KIND, find, release_fine, decision, bulk)


def _profiles(code: str | None) -> Profiles:
    """All profiles, none without a file. Ends the command with 2 if `code` is of none of them."""
    settings = settings_or_exit()
    with operator_errors():
        file = settings.profiles_file
        profiles = NO_PROFILES if file is None else read_profiles(file)
        profiles_named(profiles, () if code is None else [code])
    return profiles


async def _find(
    connection: Connection, profiles: Profiles, selected: HeldFilter
) -> list[Judgement]:
    store = LedgerReader(parse)
    if selected.fine_id is not None and selected.institution_id is not None:
        key = FineKey(selected.institution_id, selected.fine_id)
        fine = await find_fine(connection, store, key)
        if fine is None:
            return []
        selected = replace(selected, patron_id=fine.facts.patron_id)
    return await held.find(connection, store, profiles, selected)


async def _details(connection: Connection, profiles: Profiles, key: FineKey) -> Row | None:
    examination = await held_fine.examine(connection, LedgerReader(parse), profiles, key)
    if examination is None:
        return None
    actions = await actions_on(connection, held_fine.subject_of(key))
    fine, facts = examination.fine, examination.fine.facts
    currency = facts.currency
    judgements, held_back = examination.judgements, examination.held_back
    without_profile = [judgement for judgement in held_back if judgement.profile is None]
    return {
        **_of_fine(fine),
        "amount": money(fine.amount, currency),
        "amount_created": None if fine.amount == facts.amount else money(facts.amount, currency),
        "exportable": facts.exportable,
        "released": fine.released,
        "exported_as": fine.bursar_transaction_id,
        "exported_by": fine.terms.profile if fine.bursar_transaction_id and fine.terms else None,
        "created_at": facts.created_at,
        "profiles": [
            {"profile": judgement.profile, "says": judgement.reason or "due"}
            for judgement in judgements
        ],
        "held_back": [
            {"profile": judgement.profile, "reason": judgement.reason} for judgement in held_back
        ],
        "in_words": [
            words if (code := judgement.profile) is None else f"{code}: {words}"
            for judgement in (*judgements, *without_profile)
            if (words := judgement.in_words)
        ],
        "failed_changes": [asdict(change) for change in examination.failed_changes],
        "decisions": action_rows(actions),
    }


def _row(judgement: Judgement) -> Row:
    return {
        **_of_fine(judgement.fine),
        "profile": judgement.profile,
        "reason": judgement.reason,
        "in_words": judgement.in_words,
    }


def _of_fine(fine: Fine) -> dict[str, object]:
    facts = fine.facts
    return {
        "institution_id": facts.institution_id,
        "fine_id": facts.fine_id,
        "patron_id": facts.patron_id,
        "type": facts.type,
        "status": fine.status.value,
        "remaining": money(fine.remaining, facts.currency),
        "currency": facts.currency,
        "refused_reason": fine.refused_reason,
        "changed_at": fine.changed_at,
    }
