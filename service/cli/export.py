"""`bursar-bridge export`: run profiles now, see what a run would do; list, send, check batches."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from ..core.ledger import BatchKey
from ..database.ledger_read import LedgerReader
from ..export import store as export_store
from ..export.batch_file import put_batch
from ..export.failures import RunFailure
from ..export.job import ExportJob
from ..export.manifest import Manifest
from ..export.preview import preview
from ..export.profiles.profile import Profile, Profiles
from ..export.profiles.reading import read_profiles
from ..export.publish import encode_manifest
from ..messages.decode import parse
from ..runtime.problems import OperatorError, summary
from ..runtime.telemetry import Event, get_log
from ..settings import Settings
from ..wiring import COMMAND, new_applier, new_export_job
from . import pausing, progress
from .errors import FAILED, TRY_AGAIN, complain, operator_errors, settings_or_exit
from .lists import Listing, Row, identifier, number, word
from .shown import database, misuse, money, no_such_profile, writing
from .tables import show

log = get_log(__name__)

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
)


def run(codes: list[str], every: bool, even_if_paused: bool, wide: bool, as_json: bool) -> None:
    if every == bool(codes):
        raise misuse("name one of --profile, --all")
    settings = settings_or_exit()
    rows: list[Row] = []
    with operator_errors():
        profiles = _read(settings)
        meant = profiles.profiles if every else _chosen(profiles, codes)
        chosen = _Chosen(meant, bool(codes), even_if_paused)
        try:
            failures = asyncio.run(_run(settings, profiles, chosen, rows))
        finally:
            if rows:  # sealed, also where a later batch failed
                show(SEALED, rows, as_json, wide=wide)
    if failures:
        raise _failed(failures)
    if not rows:
        show(SEALED, rows, as_json, wide=wide)


def _failed(failures: Mapping[str, RunFailure]) -> typer.Exit:
    """To be raised: a line for each profile whose run could not go on."""
    for code, failure in failures.items():
        advice = "; try again later" if failure.is_temporary else ""
        complain(f"{code}: {failure.reason} ({failure.error}){advice}")
    temporary = all(failure.is_temporary for failure in failures.values())
    return typer.Exit(TRY_AGAIN if temporary else FAILED)


def show_preview(profile: str, out: Path | None, wide: bool, as_json: bool) -> None:
    settings = settings_or_exit()
    rows: list[Row] = []
    with operator_errors():
        (chosen,) = _chosen(_read(settings), [profile])
        try:
            asyncio.run(_preview(settings, chosen, out, rows))
        finally:
            if rows:
                show(SEALED, rows, as_json, wide=wide)
    if not rows:
        show(SEALED, rows, as_json, wide=wide)


def resend(profile: str, batch: int, institution: str | None) -> None:
    settings = settings_or_exit()
    with operator_errors():
        profiles = _read(settings)
        owner = institution or _chosen(profiles, [profile])[0].institution_id
        sent = asyncio.run(_resend(settings, profiles, BatchKey(owner, profile, batch)))
    if not sent:
        complain("--batch: must be the number of a sealed batch of this profile")
        raise typer.Exit(FAILED)
    typer.echo("queued: the running service publishes it")


def _read(settings: Settings) -> Profiles:
    if settings.profiles_file is None:
        raise OperatorError("BURSAR_PROFILES_FILE: is required to export")
    return read_profiles(settings.profiles_file)


def _chosen(profiles: Profiles, codes: Sequence[str]) -> Sequence[Profile]:
    known = {one.code: one for one in profiles.profiles}
    if any(code not in known for code in codes):
        raise no_such_profile(profiles)
    return [one for one in profiles.profiles if one.code in codes]


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What is to be run; `named`: by their codes."""

    profiles: Sequence[Profile]
    named: bool
    even_if_paused: bool


async def _run(
    settings: Settings, profiles: Profiles, chosen: _Chosen, rows: list[Row]
) -> Mapping[str, RunFailure]:
    """Each batch goes into `rows` once it is sealed: of a manifest no more than is shown.

    The profiles whose run could not go on, by their code.
    """
    failures: dict[str, RunFailure] = {}
    async with writing(settings) as guard:
        pool = guard.pool
        applier = new_applier(settings, guard.writer(COMMAND), lambda: None)
        even = chosen.even_if_paused
        job = new_export_job(settings, applier, profiles, even_if_paused=even)
        wanted = chosen.profiles
        if not even:
            wanted = await pausing.runnable(pool, wanted, named=chosen.named)
        with progress.batches() as bars:
            for one in wanted:
                async with pool.acquire() as connection:
                    left = await export_store.open_fines_left(connection, one)
                bar = progress.RunBar(bars, f"exporting {one.code}", left)
                if (failure := await _run_one(job, one, bar, rows)) is not None:
                    failures[one.code] = failure
    return failures


async def _run_one(
    job: ExportJob, profile: Profile, bar: progress.RunBar, rows: list[Row]
) -> RunFailure | None:
    """Why the run could not go on. Raises what no other profile's run would survive either."""

    def sealed(manifest: Manifest) -> None:
        rows.append(_row(manifest))
        bar.add(manifest)

    try:
        await job.run_profile(profile, sealed, passed=bar.passed)
    except Exception as problem:
        failure = await job.failure_of(problem)
        if failure is None:
            raise
        log.exception(Event.RUN_FAILED, profile=profile.code, reason=failure.reason)
        return failure
    return None


async def _preview(settings: Settings, profile: Profile, out: Path | None, rows: list[Row]) -> None:
    async with database(settings) as pool:
        async with pool.acquire() as connection:
            left = await export_store.open_fines_left(connection, profile)
        with progress.batches() as bars:
            bar = progress.RunBar(bars, f"previewing {profile.code}", left)
            async for built in preview(pool, LedgerReader(parse), profile, bar.passed):
                rows.append(_row(built.manifest))
                bar.add(built.manifest)
                if out is not None:
                    told = encode_manifest(built.manifest, settings.ce_source).value
                    assert told is not None
                    _put(out, built.manifest.file_name, built.document, told)


def _put(folder: Path, name: str, document: bytes, manifest: bytes) -> None:
    try:
        put_batch(folder, name, document, manifest)
    except OSError as problem:
        raise OperatorError(f"--out: cannot be written: {summary(problem)}") from None


async def _resend(settings: Settings, profiles: Profiles, key: BatchKey) -> bool:
    async with writing(settings) as guard:
        applier = new_applier(settings, guard.writer(COMMAND), lambda: None)
        return await new_export_job(settings, applier, profiles).resend(key)


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
