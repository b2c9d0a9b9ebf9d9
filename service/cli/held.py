"""`bursar-bridge held`: open fines that no run exports as they are, and their release."""

import asyncio
from dataclasses import asdict

from service.cli.errors import complain, operator_errors, settings_or_exit
from service.cli.lists import Listing, Row, identifier, number, text, word
from service.cli.shown import (
    action_rows,
    confirm,
    database,
    misuse,
    money,
    refuse_older_database,
    require,
    said,
    show_told,
    writing,
)
from service.cli.tables import show, show_one
from service.core.ledger import Fine, FineKey
from service.core.words import Status
from service.database.failed_changes import failed_changes
from service.database.ledger_store import LedgerStore
from service.export.profile import Profiles
from service.export.profiles import read_profiles
from service.export.selection import Refusal
from service.messages import parse
from service.settings import Settings
from service.upkeep import held
from service.upkeep.audit import Said, Told, actions_on
from service.upkeep.held import NO_PROFILES, HeldFine
from service.wiring import COMMAND, new_applier

HELD = Listing(
    "nothing is held back",
    (
        identifier("fine_id"),
        word("reason"),
        identifier("profile"),
        number("remaining"),
        word("currency"),
        identifier("institution_id"),
        text("refused_reason"),
        identifier("patron_id", wide=True),
        word("type", wide=True),
        word("status", wide=True),
        word("changed_at", wide=True),
    ),
)


def list_held(
    institution: str | None, profile: str | None, limit: int, wide: bool, as_json: bool
) -> None:
    settings = settings_or_exit()
    with operator_errors():
        profiles = _profiles(settings, profile)
        found = asyncio.run(_find(settings, profiles, institution, profile))
    show(HELD, [_row(fine) for fine in found[:limit]], as_json, wide=wide)


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
    why = said(reason, operator)
    settings = settings_or_exit()
    with operator_errors():
        profiles = _profiles(settings, profile)
        asyncio.run(refuse_older_database(settings))
        keys = [FineKey(institution, fine)] if institution and fine else None
        if keys is None:
            found = asyncio.run(_find(settings, profiles, institution, profile))
            meant = [one for one in found if one.reason in held.RELEASABLE]
            keys = list(dict.fromkeys(one.fine.facts.key for one in meant))
        require(keys)
        confirm("Release fines:", len(keys), every=every, yes=yes)
        done = asyncio.run(_released(settings, profiles, keys, why))
    show_told(done, as_json)


def _profiles(settings: Settings, code: str | None) -> Profiles:
    profiles = NO_PROFILES
    if settings.profiles_file is not None:
        profiles = read_profiles(settings.profiles_file)
    if code is not None and profiles.profile(code) is None:
        raise misuse("--profile: must be a profile's code")
    return profiles


async def _find(
    settings: Settings, profiles: Profiles, institution: str | None, profile: str | None
) -> list[HeldFine]:
    async with database(settings) as pool, pool.acquire() as connection:
        return await held.find(connection, LedgerStore(parse), profiles, institution, profile)


async def _released(
    settings: Settings, profiles: Profiles, keys: list[FineKey], why: Said
) -> list[Told]:
    done = []
    async with writing(settings) as guard:
        applier = new_applier(settings, guard.writer(COMMAND), lambda: None)
        for key in keys:
            async with guard.pool.acquire() as connection:
                fine = await held.find_fine(connection, applier.store, key)
                reasons: list[tuple[str | None, Refusal]] = []
                if fine is not None:
                    reasons = await held.why(connection, applier.store, profiles, fine)
                failed = await failed_changes(connection, key)
            if fine is None:
                done.append(Told(held.subject_of(key), done=False, outcome="is not known"))
            else:
                done.append(await held.release(applier, fine, reasons, why, failed))
    return done


async def _shown(settings: Settings, profiles: Profiles, key: FineKey) -> Row | None:
    store = LedgerStore(parse)
    async with database(settings) as pool, pool.acquire() as connection:
        fine = await held.find_fine(connection, store, key)
        if fine is None:
            return None
        reasons = await held.why(connection, store, profiles, fine)
        verdicts = await held.verdicts(connection, store, profiles, fine)
        failed = await failed_changes(connection, key)
        actions = await actions_on(connection, held.subject_of(key))
    facts = fine.facts
    return {
        **_of_fine(fine),
        "amount": money(facts.amount, facts.currency),
        "exportable": facts.exportable,
        "released": fine.released,
        "exported_as": fine.line,
        "exported_by": fine.terms.profile if fine.line and fine.terms else None,
        "created_at": facts.created_at,
        "profiles": [{"profile": code, "says": said or "due"} for code, said in verdicts],
        "held_back": [{"profile": code, "reason": reason.value} for code, reason in reasons],
        "failed_changes": [asdict(change) for change in failed],
        "decisions": action_rows(actions),
    }


def _row(one: HeldFine) -> Row:
    return {
        **_of_fine(one.fine),
        "profile": one.profile,
        "reason": one.reason.value,
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
