"""`bursar-bridge held`: open fines that no run exports as they are, and their release."""

import asyncio
from dataclasses import asdict, replace

from ..apply.operator_actions import DecisionResult, Justification, actions_on
from ..core.ledger import Fine, FineKey
from ..core.words import HeldReason, Status
from ..database.ledger_read import LedgerReader
from ..export.profiles.profile import NO_PROFILES, Profiles
from ..export.profiles.reading import read_profiles
from ..export.selection import Exclusion
from ..messages.decode import parse
from ..operations import held, held_fine
from ..operations.held import HeldFilter, Judgement
from ..operations.held_fine import find_fine
from ..settings import Settings
from ..wiring import COMMAND, new_applier
from .errors import complain, operator_errors, settings_or_exit
from .lists import Listing, Row, identifier, number, sentence, text, word
from .pausing import in_words, paused_now
from .shown import (
    action_rows,
    confirm,
    database,
    misuse,
    money,
    no_such_profile,
    refuse_older_database,
    require,
    said,
    show_told,
    writing,
)
from .tables import show, show_one

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
)


def list_held(
    institution: str | None,
    profile: str | None,
    patron: str | None,
    fine: str | None,
    because: HeldReason | None,
    waiting: bool,
    limit: int,
    wide: bool,
    as_json: bool,
) -> None:
    if (patron is not None or fine is not None) and institution is None:
        raise misuse("--patron, --fine: only with --institution")
    settings = settings_or_exit()
    reason = None if because is None else Exclusion(because.value)
    wanted = HeldFilter(institution, profile, reason, patron, waiting, limit, fine)
    with operator_errors():
        profiles = _profiles(settings, profile)
        paused = asyncio.run(paused_now(settings))
        found = asyncio.run(_find(settings, profiles, wanted))
    for pause in paused.values():
        if institution in (None, pause.institution_id) and profile in (None, pause.profile):
            complain(in_words(pause))
    show(HELD, [_row(fine) for fine in found], as_json, wide=wide)


def show_held(institution: str, fine: str, as_json: bool) -> None:
    settings = settings_or_exit()
    with operator_errors():
        row = asyncio.run(_shown(settings, _profiles(settings, None), FineKey(institution, fine)))
    require([] if row is None else [row])
    if row is not None:
        show_one(row, as_json)
        if row["status"] in (Status.ACTIVE, Status.IN_DISPUTE) and not row["profiles"]:
            complain("no profile of the institution is configured: nothing of it is exported")
        if row["failed_changes"]:
            complain(
                "not exported before its failed changes are decided: see parked show, then parked"
                " release, which tries a change again, or parked discard"
            )


def release(
    reason: str,
    institution: str | None,
    fine: str | None,
    every: bool,
    profile: str | None,
    yes: bool,
    operator: str | None,
    as_json: bool,
) -> None:
    if every == (fine is not None) or (fine is not None and institution is None):
        raise misuse("name one of --institution --fine, --all")
    if profile is not None and not every:
        raise misuse("--profile: only with --all")
    said_why = said(reason, operator)
    settings = settings_or_exit()
    with operator_errors():
        profiles = _profiles(settings, profile)
        asyncio.run(refuse_older_database(settings))
        keys = [FineKey(institution, fine)] if institution and fine else None
        if keys is None:
            wanted = HeldFilter(institution, profile)
            found = asyncio.run(_find(settings, profiles, wanted))
            meant = [one for one in found if one.reason in held_fine.RELEASABLE]
            keys = list(dict.fromkeys(one.fine.facts.key for one in meant))
        require(keys)
        confirm("Release fines:", len(keys), every=every, yes=yes)
        done = asyncio.run(_released(settings, profiles, keys, said_why))
    show_told(done, as_json)


def _profiles(settings: Settings, code: str | None) -> Profiles:
    profiles = NO_PROFILES
    if settings.profiles_file is not None:
        profiles = read_profiles(settings.profiles_file)
    if code is not None and profiles.profile(code) is None:
        raise no_such_profile(profiles)
    return profiles


async def _find(settings: Settings, profiles: Profiles, wanted: HeldFilter) -> list[Judgement]:
    async with (
        database(settings) as pool,
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        store = LedgerReader(parse)
        if wanted.fine_id is not None and wanted.institution_id is not None:
            fine = await find_fine(
                connection, store, FineKey(wanted.institution_id, wanted.fine_id)
            )
            if fine is None:
                return []
            wanted = replace(wanted, patron_id=fine.facts.patron_id)
        return await held.find(connection, store, profiles, wanted)


async def _released(
    settings: Settings, profiles: Profiles, keys: list[FineKey], said_why: Justification
) -> list[DecisionResult]:
    async with writing(settings) as guard:
        applier = new_applier(settings, guard.writer(COMMAND), lambda: None)
        return [await held_fine.release(applier, profiles, key, said_why) for key in keys]


async def _shown(settings: Settings, profiles: Profiles, key: FineKey) -> Row | None:
    store = LedgerReader(parse)
    async with database(settings) as pool, pool.acquire() as connection:
        examination = await held_fine.examine(connection, store, profiles, key)
        if examination is None:
            return None
        actions = await actions_on(connection, held_fine.subject_of(key))
    fine, facts = examination.fine, examination.fine.facts
    judgements, held_back = examination.judgements, examination.held_back
    return {
        **_of_fine(fine),
        "amount": money(facts.amount, facts.currency),
        "exportable": facts.exportable,
        "released": fine.released,
        "exported_as": fine.bursar_transaction_id,
        "exported_by": fine.terms.profile if fine.bursar_transaction_id and fine.terms else None,
        "created_at": facts.created_at,
        "profiles": [{"profile": one.profile, "says": one.reason or "due"} for one in judgements],
        "held_back": [{"profile": one.profile, "reason": one.reason} for one in held_back],
        "in_words": [
            in_own_words if (code := one.profile) is None else f"{code}: {in_own_words}"
            for one in (*judgements, *(judged for judged in held_back if judged.profile is None))
            if (in_own_words := one.in_words)
        ],
        "failed_changes": [asdict(change) for change in examination.failed_changes],
        "decisions": action_rows(actions),
    }


def _row(one: Judgement) -> Row:
    return {
        **_of_fine(one.fine),
        "profile": one.profile,
        "reason": one.reason,
        "in_words": one.in_words,
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
