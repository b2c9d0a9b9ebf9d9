"""`bursar-bridge export`: run profiles now, see what a run would do, send and check batches."""

import asyncio
import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from service.cli.errors import FAILED, USAGE, complain, operator_errors, settings_or_exit
from service.core.ledger import BatchKey
from service.core.money import format_minor
from service.database.ledger_store import LedgerStore
from service.database.migrate import pending
from service.database.pool import Pool, create_pool
from service.export.manifest import Manifest
from service.export.preview import preview
from service.export.profile import Profile, Profiles
from service.export.profiles import read_profiles
from service.export.verify import verify
from service.messages import parse
from service.problems import OperatorError
from service.settings import Settings
from service.wiring import database_limits, new_applier, new_export_job

application = typer.Typer(help="Run profiles now; preview, re-send and check batches.")

Codes = Annotated[
    list[str] | None,
    typer.Option("--profile", help="Code of a profile, several times for several."),
]
Code = Annotated[str, typer.Option("--profile", help="Code of a profile.")]


@application.callback(invoke_without_command=True)
def export(context: typer.Context, profile: Codes = None) -> None:
    """Run profiles now (all of them unless told) and show the batches.

    The running service publishes the batches; a run that is open already is gone on with.
    """
    if context.invoked_subcommand is None:
        run(profile)


@application.command("run")
def run(profile: Codes = None) -> None:
    """Run profiles now (all of them unless told) and show the batches."""
    settings = settings_or_exit()
    with operator_errors():
        profiles = _read(settings)
        chosen = _chosen(profiles, profile or [])
        manifests = asyncio.run(_run(settings, profiles, chosen))
    _show(manifests)


@application.command("preview")
def show_preview(
    profile: Code,
    out: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder to write the files into.")
    ] = None,
) -> None:
    """What a run would seal now: the same XML and totals, numbers included; nothing is changed."""
    settings = settings_or_exit()
    with operator_errors():
        (chosen,) = _chosen(_read(settings), [profile])
        manifests = asyncio.run(_preview(settings, chosen, out))
    _show(manifests)


@application.command("resend")
def resend(
    profile: Code,
    batch: Annotated[int, typer.Option(min=1, help="Number of the batch.")],
    institution: Annotated[
        str | None, typer.Option(help="Where no profile of that code is configured any more.")
    ] = None,
) -> None:
    """Publish a sealed batch and its manifest again: the stored bytes, with the same ce_id."""
    settings = settings_or_exit()
    with operator_errors():
        profiles = _read(settings)
        owner = institution or _chosen(profiles, [profile])[0].institution_id
        sent = asyncio.run(_resend(settings, profiles, BatchKey(owner, profile, batch)))
    if not sent:
        complain("--batch: must be the number of a sealed batch of this profile")
        raise typer.Exit(FAILED)
    typer.echo("queued: the running service publishes it")


@application.command("verify")
def show_verify(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The batch's XML.")],
    manifest: Annotated[
        Path | None, typer.Option(help="Its manifest; manifests/<name>.json unless told.")
    ] = None,
    previous: Annotated[
        Path | None, typer.Option(exists=True, help="The XML of the batch before, for the chain.")
    ] = None,
) -> None:
    """Check a file against its manifest; needs no database and no settings."""
    beside = manifest or file.parent / "manifests" / f"{file.stem}.json"
    try:
        told = json.loads(beside.read_bytes())
    except (OSError, ValueError):
        complain("--manifest: must name the batch's manifest")
        raise typer.Exit(USAGE) from None
    before = None if previous is None else sha256(previous.read_bytes()).hexdigest()
    differences = verify(file.read_bytes(), told, before)
    for one in differences:
        place = "" if one.line is None else f"line {one.line}: "
        complain(f"{place}{one.field}: {one.text}")
    if differences:
        raise typer.Exit(FAILED)
    typer.echo(f"sound: {told['count']} fines, {told['total']} {told['currency']}")


def _read(settings: Settings) -> Profiles:
    if settings.profiles_file is None:
        raise OperatorError("BURSAR_PROFILES_FILE: is required to export")
    return read_profiles(settings.profiles_file)


def _chosen(profiles: Profiles, codes: Sequence[str]) -> Sequence[Profile]:
    if not codes:
        return profiles.profiles
    known = {one.code: one for one in profiles.profiles}
    if any(code not in known for code in codes):
        complain(f"--profile: must be one of {', '.join(sorted(known)) or 'none'}")
        raise typer.Exit(USAGE)
    return [one for one in profiles.profiles if one.code in codes]


async def _pool(settings: Settings) -> Pool:
    url = settings.database_url.get_secret_value()
    if await pending(url):
        raise OperatorError("the database lacks revisions: run `bursar-bridge migrate`")
    return await create_pool(url, database_limits(settings))


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


async def _run(settings: Settings, profiles: Profiles, chosen: Sequence[Profile]) -> list[Manifest]:
    async with await _pool(settings) as pool:
        job = new_export_job(settings, pool, new_applier(settings, pool, lambda: None), profiles)
        manifests: list[Manifest] = []
        with _progress() as progress:
            for one in chosen:
                task = progress.add_task(f"exporting {one.code}", total=None)

                def sealed(manifest: Manifest, task: int = task, code: str = one.code) -> None:
                    text = f"exporting {code}: batch {manifest.batch_number}"
                    progress.update(task, description=text)  # type: ignore[arg-type] # a TaskID

                manifests += await job.run_profile(one, sealed)
    return manifests


async def _preview(settings: Settings, profile: Profile, out: Path | None) -> list[Manifest]:
    manifests = []
    async with await _pool(settings) as pool:
        async for built in preview(pool, LedgerStore(parse), profile):
            manifests.append(built.manifest)
            if out is not None:
                _write(out / built.manifest.file_name, built.document)
    return manifests


def _write(path: Path, document: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(document)


async def _resend(settings: Settings, profiles: Profiles, key: BatchKey) -> bool:
    async with await _pool(settings) as pool:
        applier = new_applier(settings, pool, lambda: None)
        return await new_export_job(settings, pool, applier, profiles).resend(key)


def _show(manifests: Sequence[Manifest]) -> None:
    if not manifests:
        typer.echo("nothing to export")
        return
    table = Table("profile", "batch", "fines", "total", "currency", "file", "sha256")
    for one in manifests:
        table.add_row(
            one.profile,
            str(one.batch_number),
            str(one.count),
            format_minor(one.total, one.currency),
            one.currency,
            one.file_name,
            one.sha256[:12],
        )
    Console().print(table)
