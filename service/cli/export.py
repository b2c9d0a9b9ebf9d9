"""`bursar-bridge export`: runs profiles now, whatever their interval."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from service.cli.errors import USAGE, complain, operator_errors, settings_or_exit
from service.core.money import format_minor
from service.database.migrate import pending
from service.database.pool import create_pool
from service.export.manifest import Manifest
from service.export.profile import Profile, Profiles
from service.export.profiles import read_profiles
from service.problems import OperatorError
from service.settings import Settings
from service.wiring import database_limits, new_applier, new_export_job


def export(
    profile: Annotated[
        list[str] | None, typer.Option(help="Code of a profile, several times for several.")
    ] = None,
) -> None:
    """Run profiles now (all of them unless told) and show the batches.

    The running service publishes the batches; a run that is open already is gone on with.
    """
    settings = settings_or_exit()
    with operator_errors():
        profiles = _read(settings)
        chosen = _chosen(profiles, profile or [])
        manifests = asyncio.run(_run(settings, profiles, chosen))
    _show(manifests)


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


async def _run(settings: Settings, profiles: Profiles, chosen: Sequence[Profile]) -> list[Manifest]:
    url = settings.database_url.get_secret_value()
    if await pending(url):
        raise OperatorError("the database lacks revisions: run `bursar-bridge migrate`")
    async with await create_pool(url, database_limits(settings)) as pool:
        job = new_export_job(settings, pool, new_applier(settings, pool, lambda: None), profiles)
        console = Console(stderr=True)
        manifests = []
        with console.status("exporting") as status:
            for one in chosen:
                status.update(f"exporting {one.code}")
                manifests += await job.run_profile(one)
    return manifests


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
