"""The work of `bursar-bridge export run`, `export preview` and `export resend`."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import typer

from ..core.ledger import BatchKey
from ..database.ledger_read import LedgerReader
from ..export import store as export_store
from ..export.alike import AlikeFinder, AlikeFines
from ..export.batch_file import put_batch
from ..export.failures import RunFailed, RunFailure
from ..export.job import ExportJob
from ..export.manifest import Manifest
from ..export.preview import preview
from ..export.profiles.profile import Profile, Profiles
from ..export.publish import encode_manifest
from ..export.selection import Exclusion
from ..messages.decode import parse
from ..runtime.problems import OperatorError, summary
from ..runtime.telemetry import Event, get_log
from ..settings import Settings
from ..wiring import new_export_job
from . import pausing, progress
from .commands.options import ShowOptions
from .errors import FAILED, TRY_AGAIN, complain, settings_or_exit, usage_error
from .lists import Listing, Row, identifier, number, word
from .problems import operator_errors
from .session import applier_of, database, profiles_named, required_profiles, writing
from .tables import show
from .texts import counted, money

log = get_log(__name__)

ALIKE_MAX = 10  # groups of fines that look alike

SEALED = Listing(
    "nothing to export",
    (
        identifier("file_name"),
        number("fine_count"),
        number("total"),
        word("currency"),
        identifier("profile"),
        number("batch_number"),
        identifier("sha256", wide=True),
    ),
    json_only=frozenset({"alike"}),
)


def run(options: ShowOptions, profile: list[str] | None, every: bool, even_if_paused: bool) -> None:
    """Runs the export of profiles, and shows the batches that were sealed, also those that were
    sealed before a failure.

    If runs failed, ends the command with exit code 5 if only other database sessions were in their
    way, else with 1.
    """
    codes = profile or []
    if every == bool(codes):
        raise usage_error("name one of --profile, --all")
    settings = settings_or_exit()
    rows: list[Row] = []
    failures: Mapping[str, RunFailure] = {}
    with operator_errors():
        profiles = required_profiles(settings, "export")
        chosen = profiles.profiles if every else profiles_named(profiles, codes)
        try:
            failures = asyncio.run(
                _run(settings, profiles, chosen, rows, named=not every, even=even_if_paused)
            )
        finally:
            if rows:  # sealed, also where a later batch failed
                show(SEALED, rows, options.as_json, wide=options.wide)
    if failures:
        raise _failed(failures)
    if not rows:
        show(SEALED, rows, options.as_json)


def _failed(failures: Mapping[str, RunFailure]) -> typer.Exit:
    """Complains of each profile whose run could not go on; returns what is to be raised."""
    for code, failure in failures.items():
        advice = "; try again later" if failure.is_temporary else ""
        complain(f"{code}: {failure.reason} ({failure.error}){advice}")
    temporary = all(failure.is_temporary for failure in failures.values())
    return typer.Exit(TRY_AGAIN if temporary else FAILED)


def show_preview(profile: str, options: ShowOptions, out: Path | None) -> None:
    """Shows the batches that a run of the profile would seal; if `out` is given, writes them as
    files into that folder.
    """
    settings = settings_or_exit()
    rows: list[Row] = []
    with operator_errors():
        (chosen,) = profiles_named(required_profiles(settings, "export"), [profile])
        try:
            asyncio.run(_preview(settings, chosen, out, rows))
        finally:
            if rows:
                show(SEALED, rows, options.as_json, wide=options.wide)
                _complain_of_alike(rows)
    if not rows:
        show(SEALED, rows, options.as_json)


def resend(profile: str, batch: int, institution: str | None) -> None:
    """Puts a sealed batch and its manifest into the outbox once more, so that the running service
    publishes both again.
    """
    settings = settings_or_exit()
    with operator_errors():
        profiles = required_profiles(settings, "export")
        owner = institution or profiles_named(profiles, [profile])[0].institution_id
        is_sent = asyncio.run(_resend(settings, profiles, BatchKey(owner, profile, batch)))
    if not is_sent:
        complain("--batch: must be the number of a sealed batch of this profile")
        raise typer.Exit(FAILED)
    typer.echo("queued: the running service publishes it")


async def _run(
    settings: Settings,
    profiles: Profiles,
    chosen: Sequence[Profile],
    rows: list[Row],
    *,
    named: bool,
    even: bool,
) -> Mapping[str, RunFailure]:
    """Puts each batch into `rows` once it is sealed; returns the failures by profile.

    `named`: the profiles were chosen by their codes. `even`: paused ones are run as well.
    """
    failures: dict[str, RunFailure] = {}
    async with writing(settings) as writer:
        pool, applier = writer.pool, applier_of(settings, writer)
        job = new_export_job(settings, applier, profiles, even_if_paused=even)
        if not even:
            chosen = await pausing.runnable(pool, chosen, named=named)
        with progress.batches() as bars:
            for profile in chosen:
                async with pool.acquire() as connection:
                    left = await export_store.open_fines_left(connection, profile)
                bar = progress.RunBar(bars, f"exporting {profile.code}", left)
                if (failure := await _run_profile(job, profile, bar, rows)) is not None:
                    failures[profile.code] = failure
                _complain_of_rest(profile, bar)
    return failures


async def _run_profile(
    job: ExportJob, profile: Profile, bar: progress.RunBar, rows: list[Row]
) -> RunFailure | None:
    """Why the run could not go on. Raises what no other profile's run would survive either."""

    def sealed(manifest: Manifest) -> None:
        rows.append(_row(manifest))
        bar.add(manifest)

    try:
        await job.run_profile(profile, sealed, passed=bar.passed)
    except RunFailed as failed:
        reason = failed.failure.reason
        log.exception(
            Event.RUN_FAILED, profile=profile.code, reason=reason, exc_info=failed.__cause__
        )
        return failed.failure
    return None


async def _preview(settings: Settings, profile: Profile, out: Path | None, rows: list[Row]) -> None:
    async with database(settings) as pool:
        await pausing.runnable(pool, [profile], named=False)
        async with pool.acquire() as connection:
            left = await export_store.open_fines_left(connection, profile)
        with progress.batches() as bars:
            bar = progress.RunBar(bars, f"previewing {profile.code}", left)
            finder = AlikeFinder()
            async for built in preview(pool, LedgerReader(parse), profile, bar.passed):
                currency = profile.currency
                groups = [_alike_row(group, currency) for group in finder.alike(built)]
                rows.append({**_row(built.manifest), "alike": groups})
                bar.add(built.manifest)
                if out is not None:
                    manifest = encode_manifest(built.manifest, settings.ce_source).value
                    assert manifest is not None
                    _put(out, built.manifest.file_name, built.document, manifest)
            _complain_of_rest(profile, bar)


def _complain_of_rest(profile: Profile, bar: progress.RunBar) -> None:
    """Says how many open fines are not exported, and why, without those of other profiles."""
    held_back = {why for why in Exclusion if why.is_held_back or why is Exclusion.ADOPTED_LINE}
    waiting = {why for why in Exclusion if why.waits}
    parts = [
        f"{sum(counts.values())} {name} "
        f"({', '.join(sorted(f'{why} {count}' for why, count in counts.items()))})"
        for name, meant in (("held back", held_back), ("not due", waiting))
        if (counts := {why: count for why, count in bar.reasons.items() if why in meant})
    ]
    if parts:
        way = f"`bursar-bridge held list --profile {profile.code} --waiting` shows them"
        complain(f"{profile.code}: open fines that are not exported: {', '.join(parts)}; {way}")


def _alike_row(alike: AlikeFines, currency: str) -> Row:
    common = alike.common
    return {
        "patron_id": common.patron_id,
        "loan_id": common.loan_id,
        "type": common.type,
        "amount": money(common.amount, currency),
        "fine_ids": alike.fine_ids,
    }


def _complain_of_alike(rows: Sequence[Row]) -> None:
    """Names fines that look like one fine that was created twice; a run exports all of them."""
    groups = [group for row in rows for group in cast("list[Row]", row["alike"])]
    for group in groups[:ALIKE_MAX]:
        first, *others = cast("Sequence[str]", group["fine_ids"])
        more = f" and {counted(len(others) - 1, 'other')}" if len(others) > 1 else ""
        complain(
            f"the fines {first}, {others[-1]}{more} have the same loan {group['loan_id']}, type "
            f"{group['type']} and sum {group['amount']}: was one fine created twice?"
        )
    if len(groups) > ALIKE_MAX:
        complain(f"{len(groups)} groups of fines look alike; --json names all of them")


def _put(folder: Path, name: str, document: bytes, manifest: bytes) -> None:
    try:
        put_batch(folder, name, document, manifest)
    except OSError as problem:
        raise OperatorError(f"--out: cannot be written: {summary(problem)}") from None


async def _resend(settings: Settings, profiles: Profiles, key: BatchKey) -> bool:
    async with writing(settings) as writer:
        return await new_export_job(settings, applier_of(settings, writer), profiles).resend(key)


def _row(manifest: Manifest) -> Row:
    """Names as those of `export list`."""
    return {
        "profile": manifest.profile,
        "batch_number": manifest.batch_number,
        "fine_count": manifest.count,
        "total": money(manifest.total, manifest.currency),
        "currency": manifest.currency,
        "file_name": manifest.file_name,
        "sha256": manifest.sha256,
    }
